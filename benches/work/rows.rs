//! A record's row on disk: made, and read back.

use std::sync::Arc;

use campanile::conversation::Record;
use campanile::slot::RowId;
use campanile::store::LogPlace;
use campanile::store::rows::{LogValue, RowKey, log_key, log_value, parse, record_value};

use super::frames;

const PLACE: LogPlace = LogPlace { row: RowId { slot: 7, fingerprint: 0x0123_4567_89ab_cdef }, incarnation: 1_700_000_000_000 };

const LOG_KEY_BYTES: usize = 35;

pub struct Row {
    record: Arc<Record>,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Row {
    pub fn new(body_bytes: usize) -> Row {
        let record = Arc::new(frames::record(body_bytes));
        let (key, value) = (log_key(PLACE, record.seq).to_vec(), record_value(&record));
        Row { record, key, value }
    }

    /// Key and value, as an append writes them.
    pub fn encode(&self) -> ([u8; LOG_KEY_BYTES], Vec<u8>) {
        (log_key(PLACE, self.record.seq), record_value(&self.record))
    }

    /// The record, as a page reads it.
    pub fn decode(&self) -> Record {
        let RowKey::Log(_, seq) = parse(&self.key).expect("a key") else { panic!("it is a log's") };
        match log_value(&self.value).expect("a value") {
            LogValue::Record(view) => view.to_record(1, seq),
            LogValue::Removed { .. } => panic!("it is there"),
        }
    }

    /// The value.
    pub fn bytes(&self) -> &[u8] {
        &self.value
    }
}
