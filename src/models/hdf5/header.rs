//! Object headers of version 1: a list of messages, possibly continued elsewhere.

use super::Hdf5Error;
use super::file::{Hdf5File, Object};

/// Continuations of one header; real ones have one or two.
const MAX_BLOCKS: usize = 256;

/// The kinds of message that matter here, by their numbers in the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Dataspace = 0x01,
    Datatype = 0x03,
    DataLayout = 0x08,
    FilterPipeline = 0x0B,
    Attribute = 0x0C,
    Continuation = 0x10,
    SymbolTable = 0x11,
}

/// A message: its kind's number, and where its data begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message {
    kind: u64,
    pub(super) start: u64,
}

/// All messages of an object.
pub(super) struct ObjectHeader(Vec<Message>);

impl ObjectHeader {
    pub(super) fn read(file: &Hdf5File, object: Object) -> Result<Self, Hdf5Error> {
        let at = file.at("an object header", object.0);
        if at.slice(0, 4)? == b"OHDR" {
            return Err(Hdf5Error::Unsupported("an object header of version 2"));
        }
        if at.number(0, 1)? != 1 {
            return Err(at.corrupt());
        }
        let mut messages = Vec::new();
        let mut blocks = vec![(object.0 + 16, at.number(8, 4)?)];
        let mut next = 0;
        while let Some((start, length)) = blocks.get(next).copied() {
            next += 1;
            let block = file.at("an object header's block", start);
            block.slice(0, length)?;
            let mut position = 0;
            while position + 8 <= length {
                let (kind, size) = (block.number(position, 2)?, block.number(position + 2, 2)?);
                let flags = block.number(position + 4, 1)?;
                let message = Message { kind, start: start + position + 8 };
                if kind == Kind::Continuation as u64 {
                    let at = file.at("a continuation message", message.start);
                    blocks.push((at.number(0, 8)?, at.number(8, 8)?));
                    if blocks.len() > MAX_BLOCKS {
                        return Err(block.corrupt());
                    }
                } else if flags & 2 != 0 && (kind == Kind::Datatype as u64 || kind == Kind::Dataspace as u64) {
                    return Err(Hdf5Error::Unsupported("a shared message"));
                } else {
                    messages.push(message);
                }
                position += 8 + size;
            }
        }
        Ok(Self(messages))
    }

    pub(super) fn first(&self, kind: Kind) -> Option<Message> {
        self.all(kind).next()
    }

    pub(super) fn all(&self, kind: Kind) -> impl Iterator<Item = Message> + '_ {
        self.0.iter().copied().filter(move |message| message.kind == kind as u64)
    }
}
