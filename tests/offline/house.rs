//! A data directory with something of every kind in it, written as the server writes it.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use campanile::clock::Now;
use campanile::conversation::{Content, Durability, Key, Name, Record, flags};
use campanile::id::Address;
use campanile::mesh::Then;
use campanile::offline::Directory;
use campanile::slot::PartitionId;
use campanile::store::disk::Manifest;
use campanile::store::engine::{Change, ReadRows, WriteRows};
use campanile::store::partition::{Partition, Settings};
use campanile::store::{Append, Command, Hint, LogPlace, Outcome, PutCursors, PutReceipts, TERM};
use campanile::wire::schema::{RecordKind, Role};
use tempfile::TempDir;

/// All that is written here is of this epoch: long ago.
pub const EPOCH: u64 = 1_700_000_000_000 << 20;
pub const TIME_MS: u64 = 1_700_000_000_000;
pub const PARTITIONS: PartitionId = 2;

/// A directory under a temporary one, so that there is room beside it.
pub struct House {
    place: TempDir,
    pub dir: PathBuf,
}

/// Writes to an open directory.
pub struct Builder {
    pub directory: Directory,
    writers: Vec<Partition>,
    seqs: std::collections::HashMap<Key, u64>,
}

pub fn group(id: &str) -> Key {
    Key::new("", Address::Group(id))
}

pub fn topic(id: &str) -> Key {
    Key::new("", Address::Topic(id))
}

impl House {
    pub fn empty() -> House {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("data");
        House { place, dir }
    }

    /// With a group, two direct conversations, a topic, a broadcast, lists, receipts and cursors.
    pub fn furnished() -> House {
        let house = House::empty();
        let mut builder = Builder::new(&house.dir);
        builder.furnish();
        builder.close();
        house
    }

    /// A path beside the directory.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub fn arg(&self) -> &str {
        super::arg(&self.dir)
    }

    /// Changes rows past all rules.
    pub fn tamper(&self, change: impl FnOnce(&mut Builder)) {
        let mut builder = Builder::of(Directory::open_sound(&self.dir).unwrap());
        change(&mut builder);
    }

    /// Where the rows of an id are.
    pub fn partition_of(&self, id: &[u8]) -> PartitionId {
        let slots = Directory::open_sound(&self.dir).unwrap().slots;
        slots.partition(slots.row(id).slot)
    }

    /// The journal of a partition in which its rows are.
    pub fn journal(&self, partition: PartitionId) -> PathBuf {
        let dir = self.dir.join(format!("partition-{partition}"));
        let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let journals = paths.filter(|path| path.extension().is_some_and(|extension| extension == "jnl"));
        journals.max_by_key(|path| used(path)).unwrap()
    }
}

/// Bytes up to the last that is not zero.
pub fn used(path: &Path) -> u64 {
    std::fs::read(path).unwrap().iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}

/// Changes a bit.
pub fn flip(path: &Path, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], offset).unwrap();
}

/// Cuts a file.
pub fn cut(path: &Path, len: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

impl Builder {
    /// Makes a directory.
    pub fn new(dir: &Path) -> Builder {
        let manifest = Manifest::open_or_create(dir, PARTITIONS, 1).unwrap();
        let mut directory = Directory::of(manifest).sound().unwrap();
        directory.manifest.set_complete().unwrap();
        Builder::of(directory)
    }

    fn of(directory: Directory) -> Builder {
        let settings = Settings { os_generation: directory.manifest.os_generation(), logs_cached: 100 };
        let writers = directory.parts.iter().map(|_| Partition::new(settings)).collect();
        Builder { directory, writers, seqs: Default::default() }
    }

    pub fn close(self) {
        self.directory.manifest.close().unwrap();
    }

    pub fn furnish(&mut self) {
        let team = group("team");
        ["alice", "bob", "carol"].into_iter().for_each(|user| self.hint(user, &team));
        let change = |kind, subject: Option<&str>, role, body: &str| {
            Content::change(kind, subject.map(Into::into), role, Bytes::copy_from_slice(body.as_bytes()))
        };
        let created = Content { flags: flags::OPEN, ..change(RecordKind::created, None, Role::none, "The team") };
        self.append("alice", &team, created);
        self.append("alice", &team, change(RecordKind::added, Some("bob"), Role::member, ""));
        self.append("carol", &team, change(RecordKind::joined, Some("carol"), Role::member, ""));
        self.append("alice", &team, change(RecordKind::role, Some("bob"), Role::admin, ""));
        self.append("bob", &team, text("good morning", "m1"));
        self.append(
            "bob",
            &team,
            Content { content_type: Some("image/png".into()), ..Content::message(&b"\x89PNG\r\n\x1a\n"[..]) },
        );
        self.append("carol", &team, change(RecordKind::left, Some("carol"), Role::none, ""));
        self.append("bob", &team, change(RecordKind::title, None, Role::none, "Our team"));
        self.receipts(&team, &[("alice", 5, 5), ("bob", 7, 6)]);
        self.cursors("alice", &team, 5, &[("laptop", 8), ("phone", 5)]);

        let direct = Key::direct("alice", "bob");
        ["alice", "bob"].into_iter().for_each(|user| self.hint(user, &direct));
        (1..=20).for_each(|n| {
            self.append(if n % 2 == 0 { "alice" } else { "bob" }, &direct, text(&format!("message {n}"), &format!("c{n}")))
        });
        self.receipts(&direct, &[("alice", 20, 19), ("bob", 18, 18)]);
        self.cursors("bob", &direct, 18, &[("phone", 18)]);

        let plus = Key::direct("a+b", "dave");
        ["a+b", "dave"].into_iter().for_each(|user| self.hint(user, &plus));
        self.append("dave", &plus, text("is that a plus?", "p"));

        let news = topic("news");
        (1..=3).for_each(|n| self.append("reuters", &news, Content { tag: Some("eu".into()), ..text(&format!("news {n}"), "") }));
        self.append("operator", &Key::new("", Address::Broadcast), text("welcome", ""));
    }

    /// As a home does it: stored before the next.
    pub fn command(&mut self, partition: PartitionId, command: Command) -> Outcome {
        let writer = &mut self.writers[usize::from(partition)];
        let database = self.directory.parts[usize::from(partition)].database.as_mut().unwrap();
        writer.execute(0, command, Now { mono_ms: 1, wall_ms: TIME_MS }, database).unwrap();
        database.write(writer.take_batch()).unwrap();
        database.sync().unwrap();
        writer.committed().pop().unwrap().1
    }

    pub fn hint(&mut self, user: &str, key: &Key) {
        let slots = self.directory.slots;
        let (user_row, key_row) = (slots.row(user.as_bytes()), slots.row(key.bytes()));
        let (user, key) = (user.into(), key.clone());
        let hint = Hint { user, user_row, key, key_row, entries_max: 100, from: 0, then: Then::Nothing };
        self.command(slots.partition(user_row.slot), Command::Hint(Box::new(hint)));
    }

    fn place(&self, key: &Key) -> (PartitionId, LogPlace) {
        let row = self.directory.slots.row(key.bytes());
        (self.directory.slots.partition(row.slot), LogPlace { row, incarnation: EPOCH })
    }

    pub fn append(&mut self, sender: &str, key: &Key, content: Content) {
        let (partition, place) = self.place(key);
        let seq = self.seqs.entry(key.clone()).or_default();
        *seq += 1;
        let record = Record { epoch: EPOCH, seq: *seq, time_ms: TIME_MS + *seq, sender: sender.into(), content };
        let append = Append {
            log: 1,
            attempt: 0,
            place,
            durability: Durability::Fsync,
            term: TERM,
            key: key.clone(),
            record: Arc::new(record),
            expires_ms: 0,
        };
        match self.command(partition, Command::Append(append)) {
            Outcome::Appended { result: Ok(()), .. } => {}
            other => panic!("{other:?}"),
        }
    }

    pub fn receipts(&mut self, key: &Key, receipts: &[(&str, u64, u64)]) {
        let (partition, place) = self.place(key);
        let receipts = receipts.iter().map(|&(user, delivered, read)| (Name::from(user), delivered, read)).collect();
        self.command(
            partition,
            Command::PutReceipts(Box::new(PutReceipts { log: 1, place, durability: Durability::Fsync, receipts })),
        );
    }

    pub fn cursors(&mut self, user: &str, key: &Key, read: u64, devices: &[(&str, u64)]) {
        let slots = self.directory.slots;
        let (user_row, key_row) = (slots.row(user.as_bytes()), slots.row(key.bytes()));
        let devices = devices.iter().map(|&(device, seq)| (device.into(), seq)).collect();
        let (user, key, replies) = (user.into(), key.clone(), Vec::new());
        let put = PutCursors { user, user_row, key, key_row, epoch: EPOCH, read, devices, replies };
        self.command(slots.partition(user_row.slot), Command::PutCursors(Box::new(put)));
    }

    /// Puts a row, or removes it.
    pub fn put(&mut self, id: &[u8], key: &[u8], value: Option<Vec<u8>>) {
        let slots = self.directory.slots;
        let database = self.directory.database(slots.partition(slots.row(id).slot));
        database.write(vec![Change { key: key.to_vec(), value }]).unwrap();
        database.sync().unwrap();
    }

    /// A row.
    pub fn get(&mut self, id: &[u8], key: &[u8]) -> Option<Bytes> {
        let slots = self.directory.slots;
        self.directory.database(slots.partition(slots.row(id).slot)).get(key).unwrap()
    }
}

/// A message for people.
pub fn text(body: &str, client_id: &str) -> Content {
    let client_id = (!client_id.is_empty()).then(|| client_id.into());
    Content { client_id, ..Content::message(body.to_owned()) }
}
