//! Writing a bundle.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use prost::Message as _;
use sha2::{Digest as _, Sha256};

use super::shard_name;
use crate::savedmodel::checksum;
use crate::savedmodel::damage::{Damage, SavedModelError};
use crate::savedmodel::proto::{
    BundleEntryProto, BundleHeaderProto, DataType, TensorShapeProto, VersionDef, bundle_header_proto::Endianness,
};
use crate::savedmodel::table::TableWriter;

/// Streams tensors into one data file; the index follows at the end.
#[derive(Debug)]
pub struct BundleWriter {
    index_path: PathBuf,
    data_path: PathBuf,
    data: BufWriter<File>,
    digest: Sha256,
    offset: u64,
    entries: BTreeMap<String, BundleEntryProto>,
}

/// A finished file of a bundle.
pub(in crate::savedmodel) struct BundleFile {
    pub(in crate::savedmodel) path: PathBuf,
    pub(in crate::savedmodel) bytes: u64,
    pub(in crate::savedmodel) sha256: [u8; 32],
}

impl BundleWriter {
    /// Starts `DIR/PREFIX.data-00000-of-00001`; the directory must exist.
    pub fn create(dir: &Path, prefix: &str) -> Result<Self, SavedModelError> {
        let data_path = dir.join(shard_name(prefix, 0, 1));
        let file =
            File::create(&data_path).map_err(|source| SavedModelError::Io { path: data_path.clone(), source })?;
        Ok(Self {
            index_path: dir.join(format!("{prefix}.index")),
            data_path,
            data: BufWriter::new(file),
            digest: Sha256::new(),
            offset: 0,
            entries: BTreeMap::new(),
        })
    }

    /// Appends a tensor; `bytes` are its elements in row-major order, little-endian.
    ///
    /// Refuses a key that is taken and bytes that do not fill the shape.
    pub fn add(&mut self, key: &str, dtype: DataType, shape: &[usize], bytes: &[u8]) -> Result<(), SavedModelError> {
        let malformed = |reason: String| SavedModelError::Damaged {
            path: self.index_path.clone(),
            damage: Damage::Malformed { format: "bundle index", reason },
        };
        let elements = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        let needed = dtype.size().zip(elements).and_then(|(width, count)| count.checked_mul(width));
        if needed != Some(bytes.len()) {
            return Err(malformed(format!("{} bytes given for {key:?} of shape {shape:?}", bytes.len())));
        }
        if key.is_empty() || self.entries.contains_key(key) {
            return Err(malformed(format!("the key {key:?} is empty or taken")));
        }
        let sizes: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
        let entry = BundleEntryProto {
            dtype: dtype as i32,
            shape: Some(TensorShapeProto::of(&sizes)),
            offset: self.offset as i64,
            size: bytes.len() as i64,
            crc32c: checksum::masked(bytes),
            ..BundleEntryProto::default()
        };
        self.data.write_all(bytes).map_err(|source| SavedModelError::Io { path: self.data_path.clone(), source })?;
        self.digest.update(bytes);
        self.offset += bytes.len() as u64;
        self.entries.insert(key.to_owned(), entry);
        Ok(())
    }

    /// Completes the data file and writes the index.
    pub(in crate::savedmodel) fn finish(mut self) -> Result<[BundleFile; 2], SavedModelError> {
        self.data.flush().map_err(|source| SavedModelError::Io { path: self.data_path.clone(), source })?;
        let header = BundleHeaderProto {
            num_shards: 1,
            endianness: Endianness::Little as i32,
            version: Some(VersionDef { producer: 1, ..VersionDef::default() }),
        };
        let mut table = TableWriter::default();
        table.add(b"", &header.encode_to_vec());
        for (key, entry) in &self.entries {
            table.add(key.as_bytes(), &entry.encode_to_vec());
        }
        let index = table.finish();
        std::fs::write(&self.index_path, &index)
            .map_err(|source| SavedModelError::Io { path: self.index_path.clone(), source })?;
        let sha256 = Sha256::digest(&index).into();
        Ok([
            BundleFile { path: self.data_path, bytes: self.offset, sha256: self.digest.finalize().into() },
            BundleFile { path: self.index_path, bytes: index.len() as u64, sha256 },
        ])
    }
}
