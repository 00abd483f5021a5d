//! The file: its superblock, its groups, and checked access to its bytes.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use super::Hdf5Error;
use super::header::{Kind, ObjectHeader};

const SIGNATURE: &[u8; 8] = b"\x89HDF\r\n\x1a\n";
/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 2 << 30;
/// The address that stands for "nowhere".
pub(super) const UNDEFINED: u64 = u64::MAX;
/// A B-tree node says its level in one byte, and levels fall on the way down; real ones have one or two.
const MAX_LEVEL: u8 = 16;

/// An open HDF5 file, whole in memory.
#[derive(Debug)]
pub struct Hdf5File {
    bytes: Vec<u8>,
    root: Object,
}

/// A group or a dataset, by the address of its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object(pub(super) u64);

/// A dataset: its shape and its values, still in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset<'a> {
    /// Extents, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// Little-endian `float32` values, `4 × product(shape)` bytes.
    pub bytes: &'a [u8],
}

impl Dataset<'_> {
    /// The values in row-major order.
    pub fn values(&self) -> Vec<f32> {
        self.bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }
}

/// Checked reading at an offset. Every structure of the format is read through this.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    bytes: &'a [u8],
    what: &'static str,
    start: u64,
}

impl<'a> At<'a> {
    /// `length` bytes, `offset` bytes behind the start.
    pub(super) fn slice(self, offset: u64, length: u64) -> Result<&'a [u8], Hdf5Error> {
        let begin = self.start.checked_add(offset);
        let range = begin
            .and_then(|begin| Some(usize::try_from(begin).ok()?..usize::try_from(begin.checked_add(length)?).ok()?));
        range.and_then(|range| self.bytes.get(range)).ok_or(Hdf5Error::Truncated { what: self.what, at: self.start })
    }

    /// A little-endian number of 1, 2, 4 or 8 bytes.
    pub(super) fn number(self, offset: u64, width: u64) -> Result<u64, Hdf5Error> {
        Ok(self.slice(offset, width)?.iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte)))
    }

    /// Fails unless these bytes stand at the start.
    pub(super) fn expect(self, signature: &[u8]) -> Result<(), Hdf5Error> {
        if self.slice(0, signature.len() as u64)? == signature { Ok(()) } else { Err(self.corrupt()) }
    }

    /// The extents of a dataspace message.
    pub(super) fn extents(self) -> Result<Vec<usize>, Hdf5Error> {
        let first = match self.number(0, 1)? {
            1 => 8,
            2 => 4,
            _ => return Err(self.corrupt()),
        };
        (0..self.number(1, 1)?)
            .map(|dimension| usize::try_from(self.number(first + 8 * dimension, 8)?).map_err(|_| self.corrupt()))
            .collect()
    }

    pub(super) fn corrupt(self) -> Hdf5Error {
        Hdf5Error::Corrupt { what: self.what, at: self.start }
    }
}

impl Hdf5File {
    /// Opens a file and reads its superblock. A file that is larger than any that Keras writes for a network of the
    /// lab's kind, or that is no file at all, is not read.
    pub fn open(path: &Path) -> std::io::Result<Result<Self, Hdf5Error>> {
        let metadata = std::fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(std::io::Error::other("not a regular file"));
        }
        if metadata.len() > MAX_FILE {
            return Ok(Err(Hdf5Error::Unsupported("a file of more than 2 GiB")));
        }
        let mut bytes = Vec::with_capacity(metadata.len() as usize);
        // Bounded by what was seen above, so that a file that grows meanwhile cannot exhaust the memory.
        std::fs::File::open(path)?.take(metadata.len()).read_to_end(&mut bytes)?;
        Ok(Self::parse(bytes))
    }

    /// Reads the superblock of a file that is in memory.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, Hdf5Error> {
        if !bytes.starts_with(SIGNATURE) {
            return Err(Hdf5Error::NotHdf5);
        }
        let at = At { bytes: &bytes, what: "the superblock", start: 0 };
        if at.number(8, 1)? > 1 {
            return Err(Hdf5Error::Unsupported("a superblock of version 2 or later"));
        }
        if (at.number(13, 1)?, at.number(14, 1)?) != (8, 8) {
            return Err(Hdf5Error::Unsupported("an offset or length that is not 8 bytes wide"));
        }
        // Version 1 has four more bytes (the chunk B-tree's rank) before the addresses.
        let addresses = if at.number(8, 1)? == 0 { 24 } else { 28 };
        if at.number(addresses, 8)? != 0 {
            return Err(Hdf5Error::Unsupported("a base address other than 0"));
        }
        // Behind four addresses comes the root's symbol table entry; its second field is the root's header.
        let root = Object(at.number(addresses + 32 + 8, 8)?);
        Ok(Self { bytes, root })
    }

    /// The root group.
    pub fn root(&self) -> Object {
        self.root
    }

    pub(super) fn at(&self, what: &'static str, start: u64) -> At<'_> {
        At { bytes: &self.bytes, what, start }
    }

    /// What lies at a path like `conv1_conv/conv1_conv/kernel:0` below a group.
    pub fn find(&self, group: Object, path: &str) -> Result<Object, Hdf5Error> {
        let mut current = group;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            current = self
                .links(current)?
                .into_iter()
                .find(|(link, _)| link == name)
                .map(|(_, object)| object)
                .ok_or_else(|| Hdf5Error::Missing(path.to_owned()))?;
        }
        Ok(current)
    }

    /// The names in a group with what they name, in the order of the file's B-tree, which is by name.
    pub fn links(&self, group: Object) -> Result<Vec<(String, Object)>, Hdf5Error> {
        let header = ObjectHeader::read(self, group)?;
        let message =
            header.first(Kind::SymbolTable).ok_or(Hdf5Error::Unsupported("a group without a symbol table"))?;
        let at = self.at("a symbol table message", message.start);
        let (tree, heap) = (at.number(0, 8)?, at.number(8, 8)?);
        let heap = self.at("a local heap", heap);
        heap.expect(b"HEAP")?;
        let names = self.at("a local heap's data", heap.number(24, 8)?);
        let names = names.slice(0, heap.number(8, 8)?)?;
        let mut links = Vec::new();
        self.walk(tree, None, &mut BTreeSet::new(), &mut |entry| {
            let name = entry.number(0, 8)?;
            let tail = usize::try_from(name).ok().and_then(|name| names.get(name..)).ok_or(entry.corrupt())?;
            let end = tail.iter().position(|byte| *byte == 0).ok_or(entry.corrupt())?;
            let name = std::str::from_utf8(&tail[..end]).map_err(|_| entry.corrupt())?;
            links.push((name.to_owned(), Object(entry.number(8, 8)?)));
            Ok(())
        })?;
        Ok(links)
    }

    /// Visits the symbol table entries below a B-tree node. A node that comes twice is corrupt: that bounds the walk.
    fn walk(
        &self,
        node: u64,
        parent: Option<u8>,
        seen: &mut BTreeSet<u64>,
        visit: &mut dyn FnMut(At<'_>) -> Result<(), Hdf5Error>,
    ) -> Result<(), Hdf5Error> {
        let at = self.at("a group's B-tree node", node);
        at.expect(b"TREE")?;
        let level = at.number(5, 1)? as u8;
        if at.number(4, 1)? != 0
            || level > MAX_LEVEL
            || parent.is_some_and(|parent| level >= parent)
            || !seen.insert(node)
        {
            return Err(at.corrupt());
        }
        for index in 0..at.number(6, 2)? {
            // Keys and children alternate behind 24 bytes, beginning with a key; both are 8 bytes wide.
            let child = at.number(24 + 16 * index + 8, 8)?;
            if level > 0 {
                self.walk(child, Some(level), seen, visit)?;
                continue;
            }
            let leaf = self.at("a symbol table node", child);
            leaf.expect(b"SNOD")?;
            if !seen.insert(child) {
                return Err(leaf.corrupt());
            }
            for entry in 0..leaf.number(6, 2)? {
                visit(self.at("a symbol table entry", child + 8 + 40 * entry))?;
            }
        }
        Ok(())
    }

    /// A dataset of little-endian `float32` values, stored in one piece.
    pub fn dataset(&self, object: Object) -> Result<Dataset<'_>, Hdf5Error> {
        let header = ObjectHeader::read(self, object)?;
        let part = |kind, what| header.first(kind).ok_or(Hdf5Error::Unsupported(what));
        let space = part(Kind::Dataspace, "a dataset without a dataspace")?;
        let shape = self.at("a dataspace", space.start).extents()?;
        let datatype = part(Kind::Datatype, "a dataset without a datatype")?;
        let datatype = self.at("a datatype", datatype.start);
        // Class 1 is floating point; bit 0 of its bit field is the byte order; then comes the size in bytes.
        if datatype.number(0, 1)? & 15 != 1 || datatype.number(1, 1)? & 1 != 0 || datatype.number(4, 4)? != 4 {
            return Err(Hdf5Error::Unsupported("a dataset that is not little-endian float32"));
        }
        if header.first(Kind::FilterPipeline).is_some() {
            return Err(Hdf5Error::Unsupported("a compressed dataset"));
        }
        let layout = part(Kind::DataLayout, "a dataset without a layout")?;
        let layout = self.at("a data layout", layout.start);
        let size = shape
            .iter()
            .try_fold(4_u64, |size, extent| size.checked_mul(*extent as u64))
            .ok_or(self.at("a dataspace", space.start).corrupt())?;
        let (class, address) = match layout.number(0, 1)? {
            1 | 2 => (layout.number(2, 1)?, layout.number(8, 8)?),
            3 | 4 => (layout.number(1, 1)?, layout.number(2, 8)?),
            _ => return Err(layout.corrupt()),
        };
        if class != 1 {
            return Err(Hdf5Error::Unsupported("a dataset that is chunked or compact"));
        }
        if address == UNDEFINED && size > 0 {
            return Err(Hdf5Error::Unsupported("a dataset that was never written"));
        }
        let bytes = if size == 0 { &[][..] } else { self.at("a dataset", address).slice(0, size)? };
        Ok(Dataset { shape, bytes })
    }

    /// An attribute that is a list of strings (or one string), or `None` where the object has no such attribute.
    pub fn strings(&self, object: Object, name: &str) -> Result<Option<Vec<String>>, Hdf5Error> {
        let header = ObjectHeader::read(self, object)?;
        for message in header.all(Kind::Attribute) {
            let at = self.at("an attribute", message.start);
            let version = at.number(0, 1)?;
            let (name_size, type_size, space_size) = (at.number(2, 2)?, at.number(4, 2)?, at.number(6, 2)?);
            // Version 1 pads each part to 8 bytes; version 3 has one byte more, the name's character set.
            let (begin, padded): (u64, fn(u64) -> u64) = match version {
                1 => (8, |size| size.next_multiple_of(8)),
                2 => (8, |size| size),
                3 => (9, |size| size),
                _ => return Err(at.corrupt()),
            };
            let found = at.slice(begin, name_size)?;
            if found.split(|byte| *byte == 0).next() != Some(name.as_bytes()) {
                continue;
            }
            let datatype = message.start + begin + padded(name_size);
            let space = datatype + padded(type_size);
            let data = space + padded(space_size);
            let count = self
                .at("an attribute's dataspace", space)
                .extents()?
                .into_iter()
                .try_fold(1_u64, |count, extent| count.checked_mul(extent as u64))
                .ok_or(at.corrupt())?;
            return self.string_elements(datatype, data, count).map(Some);
        }
        Ok(None)
    }

    fn string_elements(&self, datatype: u64, data: u64, count: u64) -> Result<Vec<String>, Hdf5Error> {
        let datatype = self.at("an attribute's datatype", datatype);
        let data = self.at("an attribute's data", data);
        let size = datatype.number(4, 4)?;
        let class = datatype.number(0, 1)? & 15;
        let mut strings = Vec::new();
        for index in 0..count {
            let bytes = match class {
                3 if size > 0 => data.slice(index * size, size)?,
                // A variable-length string: its length, and where it lies in a global heap.
                9 if datatype.number(1, 1)? & 15 == 1 => {
                    let length = data.number(16 * index, 4)?;
                    let (collection, object) = (data.number(16 * index + 4, 8)?, data.number(16 * index + 12, 4)?);
                    if length == 0 { &[][..] } else { self.heap_object(collection, object, length)? }
                }
                _ => return Err(Hdf5Error::Unsupported("an attribute that is not a list of strings")),
            };
            let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
            strings.push(std::str::from_utf8(text).map_err(|_| data.corrupt())?.to_owned());
        }
        Ok(strings)
    }

    fn heap_object(&self, collection: u64, wanted: u64, length: u64) -> Result<&[u8], Hdf5Error> {
        let heap = self.at("a global heap", collection);
        heap.expect(b"GCOL")?;
        let end = heap.number(8, 8)?;
        let mut position = 16;
        // A size may be anything, so the next position may be near the largest number.
        while end.checked_sub(16).is_some_and(|last| position <= last) {
            let (index, size) = (heap.number(position, 2)?, heap.number(position + 8, 8)?);
            if index == 0 {
                break;
            }
            if index == wanted && length <= size {
                return heap.slice(position + 16, length);
            }
            position = size
                .checked_next_multiple_of(8)
                .and_then(|size| position.checked_add(16)?.checked_add(size))
                .ok_or(heap.corrupt())?;
        }
        Err(heap.corrupt())
    }
}
