#![no_main]
//! Any bytes as `variables.index`: the first byte says whether they are the whole file or the block of entries in it. A
//! block gets the checksum and the frame that it needs to be looked at at all.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use canary_lab_fuzz::{directory, read_model};
use libfuzzer_sys::fuzz_target;

/// `saved_model.pb` with one meta graph, tagged `serve`.
const MODEL: &[u8] = b"\x08\x01\x12\x09\x0a\x07\x22\x05serve";
const MAGIC: u64 = 0xdb47_7524_8b80_fb57;
static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| prepared(directory()));

fn prepared(directory: PathBuf) -> PathBuf {
    std::fs::write(directory.join("saved_model.pb"), MODEL).expect("a file in memory");
    std::fs::create_dir(directory.join("variables")).expect("a directory in memory");
    std::fs::write(data_file(&directory), [0; 4096]).expect("a file in memory");
    directory
}

fn data_file(directory: &Path) -> PathBuf {
    directory.join("variables/variables.data-00000-of-00001")
}

fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a block with its type and masked checksum; returns its place as a handle.
fn put_block(file: &mut Vec<u8>, contents: &[u8]) -> Vec<u8> {
    let start = file.len();
    file.extend_from_slice(contents);
    file.push(0);
    let crc = crc32c::crc32c(&file[start..]).rotate_right(15).wrapping_add(0xa282_ead8);
    file.extend_from_slice(&crc.to_le_bytes());
    let mut handle = Vec::new();
    put_varint(&mut handle, start);
    put_varint(&mut handle, contents.len());
    handle
}

/// A table whose one block of entries is `block`.
fn table(block: &[u8]) -> Vec<u8> {
    const NO_ENTRIES: &[u8] = &[0, 0, 0, 0, 1, 0, 0, 0];
    let mut file = Vec::new();
    let handle = put_block(&mut file, block);
    let mut index = vec![0, 1, handle.len() as u8, b'z'];
    index.extend_from_slice(&handle);
    index.extend_from_slice(NO_ENTRIES);
    let meta = put_block(&mut file, NO_ENTRIES);
    let index = put_block(&mut file, &index);
    let mut footer = [meta, index].concat();
    footer.resize(40, 0);
    file.extend_from_slice(&footer);
    file.extend_from_slice(&MAGIC.to_le_bytes());
    file
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    let index = if kind & 1 == 0 { rest.to_vec() } else { table(rest) };
    std::fs::write(DIRECTORY.join("variables/variables.index"), index).expect("a file in memory");
    read_model(&DIRECTORY);
});
