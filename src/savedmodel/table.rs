//! LevelDB's sorted table, the format of `variables.index`.
//!
//! A file is data blocks, an (empty) meta index, an index block that locates the data blocks, and a footer of 48 bytes.
//! A block is entries with prefix-shared keys, restart points, one byte of compression and a masked CRC-32C.

use super::checksum;
use super::damage::Damage;

const MAGIC: u64 = 0xdb47_7524_8b80_fb57;
const FOOTER: usize = 48;
/// Compression byte and checksum behind each block.
const TRAILER: usize = 5;
/// Entries between two keys that are written in full.
const RESTART_INTERVAL: usize = 16;
/// A data block is closed once it has this many bytes, as in TensorFlow's writer.
const BLOCK_SIZE: usize = 262_144;

/// A key and its value.
type Entry = (Vec<u8>, Vec<u8>);

fn malformed(reason: impl Into<String>) -> Damage {
    Damage::Malformed { format: "table", reason: reason.into() }
}

/// All entries of a table, in the order of their keys.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Entry>, Damage> {
    let Some(footer_start) = bytes.len().checked_sub(FOOTER) else {
        return Err(Damage::Truncated { needed: FOOTER as u64, actual: bytes.len() as u64 });
    };
    let footer = &bytes[footer_start..];
    if footer[FOOTER - 8..] != MAGIC.to_le_bytes() {
        return Err(malformed("the file does not end with a table's magic number"));
    }
    let mut handles = Cursor(footer);
    let meta_index = (handles.varint()?, handles.varint()?);
    let index = (handles.varint()?, handles.varint()?);
    // Blocks may not overlap the footer, nor may their sizes add up to more than the file: an index that names the
    // same block over and over would otherwise make a small file expand without bound.
    let body = &bytes[..footer_start];
    let mut budget = body.len();
    // Nothing in the meta index is of use, but damage to it is damage to the file.
    block(body, meta_index.0, meta_index.1)?;
    let mut entries: Vec<Entry> = Vec::new();
    let mut key_budget = bytes.len().saturating_mul(64);
    for (_, handle) in block_entries(block(body, index.0, index.1)?, &mut key_budget)? {
        let mut handle = Cursor(&handle);
        let contents = block(body, handle.varint()?, handle.varint()?)?;
        budget = budget.checked_sub(contents.len()).ok_or_else(|| malformed("its blocks overlap"))?;
        for (key, value) in block_entries(contents, &mut key_budget)? {
            if entries.last().is_some_and(|(last, _)| *last >= key) {
                return Err(malformed(format!("the key {:?} is out of order", String::from_utf8_lossy(&key))));
            }
            entries.push((key, value));
        }
    }
    Ok(entries)
}

/// The contents of one block, its checksum verified.
fn block(body: &[u8], offset: u64, size: u64) -> Result<&[u8], Damage> {
    let truncated = || Damage::Truncated {
        needed: offset.saturating_add(size).saturating_add((TRAILER + FOOTER) as u64),
        actual: (body.len() + FOOTER) as u64,
    };
    let end = offset.checked_add(size).and_then(|end| end.checked_add(TRAILER as u64)).ok_or_else(truncated)?;
    if end > body.len() as u64 {
        return Err(truncated());
    }
    let (start, end) = (offset as usize, end as usize);
    let (checked, stored) = body[start..end].split_at(end - start - 4);
    let stored = u32::from_le_bytes([stored[0], stored[1], stored[2], stored[3]]);
    let computed = checksum::masked(checked);
    if stored != computed {
        return Err(Damage::Checksum { what: format!("the block at byte {offset}"), stored, computed });
    }
    let (contents, compression) = checked.split_at(checked.len() - 1);
    if compression[0] != 0 {
        return Err(Damage::Unsupported(format!("compression {} of the block at byte {offset}", compression[0])));
    }
    Ok(contents)
}

/// The entries of a block. `key_budget` bounds what prefix sharing may expand to.
fn block_entries(contents: &[u8], key_budget: &mut usize) -> Result<Vec<Entry>, Damage> {
    let tail = contents.len().checked_sub(4).ok_or_else(|| malformed("a block without restart points"))?;
    let count = u32::from_le_bytes([contents[tail], contents[tail + 1], contents[tail + 2], contents[tail + 3]]);
    let end = (count as usize)
        .checked_mul(4)
        .and_then(|restarts| tail.checked_sub(restarts))
        .ok_or_else(|| malformed("a block with more restart points than bytes"))?;
    let mut cursor = Cursor(&contents[..end]);
    let mut entries: Vec<Entry> = Vec::new();
    let mut last_key: Vec<u8> = Vec::new();
    while !cursor.0.is_empty() {
        let (shared, fresh, length) = (cursor.length()?, cursor.length()?, cursor.length()?);
        let prefix = last_key.get(..shared).ok_or_else(|| malformed("a key shares more than the key before it has"))?;
        let mut key = prefix.to_vec();
        key.extend_from_slice(cursor.take(fresh)?);
        *key_budget = key_budget.checked_sub(key.len()).ok_or_else(|| malformed("its keys expand without bound"))?;
        let value = cursor.take(length)?.to_vec();
        last_key.clone_from(&key);
        entries.push((key, value));
    }
    Ok(entries)
}

/// Reads forward through bytes.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Damage> {
        let (head, rest) =
            self.0.split_at_checked(length).ok_or_else(|| malformed("an entry reaches beyond its block"))?;
        self.0 = rest;
        Ok(head)
    }

    fn varint(&mut self) -> Result<u64, Damage> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(malformed("a number of more than 64 bits"))
    }

    fn length(&mut self) -> Result<usize, Damage> {
        usize::try_from(self.varint()?).map_err(|_| malformed("a length beyond the address space"))
    }
}

/// Appends a number in base 128, least significant group first.
fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Builds a table in memory; an index of thousands of tensors is some hundred kilobytes.
#[derive(Debug, Default)]
pub(super) struct TableWriter {
    file: Vec<u8>,
    data: BlockWriter,
    index: BlockWriter,
}

impl TableWriter {
    /// Appends an entry; keys must come in ascending order.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.data.add(key, value, RESTART_INTERVAL);
        if self.data.bytes.len() >= BLOCK_SIZE {
            self.close_data_block();
        }
    }

    /// The finished file.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.close_data_block();
        let meta_index = put_block(&mut self.file, BlockWriter::default());
        let index = put_block(&mut self.file, self.index);
        let mut footer = Vec::with_capacity(FOOTER);
        for value in [meta_index.0, meta_index.1, index.0, index.1] {
            put_varint(&mut footer, value);
        }
        footer.resize(FOOTER - 8, 0);
        footer.extend_from_slice(&MAGIC.to_le_bytes());
        self.file.extend_from_slice(&footer);
        self.file
    }

    fn close_data_block(&mut self) {
        if self.data.bytes.is_empty() {
            return;
        }
        let block = std::mem::take(&mut self.data);
        let last_key = block.last_key.clone();
        let (offset, size) = put_block(&mut self.file, block);
        let mut handle = Vec::new();
        put_varint(&mut handle, offset);
        put_varint(&mut handle, size);
        self.index.add(&last_key, &handle, 1);
    }
}

/// Appends a block to the file; returns its offset and size.
fn put_block(file: &mut Vec<u8>, block: BlockWriter) -> (u64, u64) {
    let offset = file.len();
    file.extend_from_slice(&block.finish());
    let size = file.len() - offset;
    file.push(0);
    let crc = checksum::masked(&file[offset..]);
    file.extend_from_slice(&crc.to_le_bytes());
    (offset as u64, size as u64)
}

#[derive(Debug, Default)]
struct BlockWriter {
    bytes: Vec<u8>,
    restarts: Vec<u32>,
    since_restart: usize,
    last_key: Vec<u8>,
}

impl BlockWriter {
    fn add(&mut self, key: &[u8], value: &[u8], restart_interval: usize) {
        let shared = if self.since_restart.is_multiple_of(restart_interval) {
            self.restarts.push(self.bytes.len() as u32);
            0
        } else {
            key.iter().zip(&self.last_key).take_while(|(a, b)| a == b).count()
        };
        self.since_restart += 1;
        for length in [shared, key.len() - shared, value.len()] {
            put_varint(&mut self.bytes, length as u64);
        }
        self.bytes.extend_from_slice(&key[shared..]);
        self.bytes.extend_from_slice(value);
        self.last_key = key.to_vec();
    }

    fn finish(mut self) -> Vec<u8> {
        // A block has at least one restart point, even an empty one.
        if self.restarts.is_empty() {
            self.restarts.push(0);
        }
        for restart in &self.restarts {
            self.bytes.extend_from_slice(&restart.to_le_bytes());
        }
        self.bytes.extend_from_slice(&(self.restarts.len() as u32).to_le_bytes());
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(count: usize) -> Vec<Entry> {
        (0..count).map(|i| (format!("layer/{i:06}/kernel").into_bytes(), vec![i as u8; i % 40])).collect()
    }

    fn write(entries: &[Entry]) -> Vec<u8> {
        let mut table = TableWriter::default();
        for (key, value) in entries {
            table.add(key, value);
        }
        table.finish()
    }

    #[test]
    fn a_table_gives_back_what_was_written_even_over_many_blocks() {
        for count in [0, 1, 17, 20_000] {
            let entries = sample(count);
            assert!(read(&write(&entries)).unwrap() == entries, "{count} entries");
        }
    }

    #[test]
    fn every_truncation_and_every_flipped_byte_is_noticed_or_harmless() {
        let entries = sample(40);
        let good = write(&entries);
        for length in 0..good.len() {
            assert!(read(&good[..length]).is_err(), "cut to {length}");
        }
        for position in 0..good.len() {
            let mut bad = good.clone();
            bad[position] ^= 0x41;
            // Only the footer's padding carries no meaning.
            if let Ok(found) = read(&bad) {
                assert!(found == entries && position >= good.len() - FOOTER, "byte {position}");
            }
        }
    }

    #[test]
    fn a_table_whose_index_repeats_a_block_is_refused() {
        let mut file = Vec::new();
        let mut data = BlockWriter::default();
        data.add(b"key", &[7; 2000], 1);
        let (offset, size) = put_block(&mut file, data);
        let mut index = BlockWriter::default();
        for i in 0..100u8 {
            let mut handle = Vec::new();
            put_varint(&mut handle, offset);
            put_varint(&mut handle, size);
            index.add(&[i], &handle, 1);
        }
        let meta_index = put_block(&mut file, BlockWriter::default());
        let index = put_block(&mut file, index);
        let mut footer = Vec::new();
        for value in [meta_index.0, meta_index.1, index.0, index.1] {
            put_varint(&mut footer, value);
        }
        footer.resize(FOOTER - 8, 0);
        footer.extend_from_slice(&MAGIC.to_le_bytes());
        file.extend_from_slice(&footer);
        assert!(matches!(read(&file), Err(Damage::Malformed { .. })));
    }
}
