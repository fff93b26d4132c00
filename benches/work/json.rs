//! A text from outside made a frame; a message on its way out made a text.

use campanile::json::{self, Reader};
use campanile::wire::{Encoder, read};

use super::frames;

/// A publish.
pub struct Reading {
    reader: Reader,
    text: String,
}

impl Reading {
    pub fn new(body_bytes: usize) -> Reading {
        let body = "x".repeat(body_bytes);
        let text =
            format!(r#"{{"type":"publish","ref":7,"conversation":"group:team","client_id":"c-0123456789","body":"{body}"}}"#);
        Reading { reader: Reader::new(), text }
    }

    pub fn run(&mut self) -> usize {
        self.reader.read(self.text.as_bytes(), Some("alice")).expect("a publish").len()
    }

    /// What is read.
    pub fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

/// A message.
pub struct Writing {
    frame: Vec<u8>,
    out: Vec<u8>,
}

impl Writing {
    pub fn new(body_bytes: usize) -> Writing {
        let frame = frames::message(&mut Encoder::default(), &frames::record(body_bytes)).to_vec();
        Writing { frame, out: Vec::new() }
    }

    pub fn run(&mut self) -> usize {
        self.out.clear();
        json::write(read(&self.frame).expect("sound"), &mut self.out);
        self.out.len()
    }
}
