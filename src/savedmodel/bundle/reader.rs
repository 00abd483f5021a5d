//! Reading tensors out of a bundle.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message as _;

use super::{shard_name, strings};
use crate::savedmodel::checksum;
use crate::savedmodel::contained::{ContainedFile, ModelDir};
use crate::savedmodel::damage::{Damage, SavedModelError};
use crate::savedmodel::proto::{
    BundleEntryProto, BundleHeaderProto, DataType, TensorShapeProto, bundle_header_proto::Endianness,
};
use crate::savedmodel::table;

/// The largest index that is read, in bytes; that of a network with 600 variables has 40 thousand.
const INDEX_LIMIT: u64 = 256 << 20;
/// The most data files that a bundle may have.
const SHARD_LIMIT: i32 = 4096;

/// What the index says of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableInfo {
    /// The element type.
    pub dtype: DataType,
    /// The shape, outermost dimension first.
    pub shape: Vec<usize>,
    /// Its bytes in the data file.
    pub size: u64,
    shard: u32,
    offset: u64,
    crc32c: u32,
}

impl VariableInfo {
    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A tensor as it lies in the file: elements in row-major order, little-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableSlice {
    /// The element type.
    pub dtype: DataType,
    /// The shape, outermost dimension first.
    pub shape: Vec<usize>,
    /// The elements.
    pub bytes: Bytes,
}

/// The tensors of a model.
#[derive(Debug)]
pub struct Variables {
    index_path: PathBuf,
    entries: BTreeMap<String, VariableInfo>,
    shards: Vec<ContainedFile>,
}

impl Variables {
    /// Opens `DIR/PREFIX.index` and its data files, or gives `None` where there is no index.
    ///
    /// Every tensor's place is checked against the size of its file; contents are not read.
    pub(in crate::savedmodel) fn open(dir: &ModelDir, prefix: &str) -> Result<Option<Self>, SavedModelError> {
        let Some(index) = dir.file(&format!("{prefix}.index"))? else { return Ok(None) };
        let (index_path, bytes) = index.read(INDEX_LIMIT)?;
        let damaged = |damage| SavedModelError::Damaged { path: index_path.clone(), damage };
        let mut entries = table::read(&bytes).map_err(damaged)?.into_iter();
        let header = match entries.next() {
            Some((key, value)) if key.is_empty() => BundleHeaderProto::decode(value.as_slice())
                .map_err(|error| damaged(malformed(format!("its header cannot be decoded: {error}"))))?,
            _ => return Err(damaged(malformed("it has no header"))),
        };
        if header.endianness != Endianness::Little as i32 {
            return Err(damaged(Damage::Unsupported("big-endian byte order".to_owned())));
        }
        if !(1..=SHARD_LIMIT).contains(&header.num_shards) {
            return Err(damaged(malformed(format!("{} data files", header.num_shards))));
        }
        let count = header.num_shards as u32;
        let mut shards = Vec::new();
        for shard in 0..count {
            let name = shard_name(prefix, shard, count);
            let path = dir.path().join(&name);
            shards.push(
                dir.file(&name)?.ok_or(SavedModelError::Io { path, source: std::io::ErrorKind::NotFound.into() })?,
            );
        }
        let mut found = BTreeMap::new();
        for (key, value) in entries {
            let (key, info) = entry(&key, &value).map_err(damaged)?;
            let shard = shards
                .get(info.shard as usize)
                .ok_or_else(|| damaged(malformed(format!("{key:?} lies in data file {} of {count}", info.shard))))?;
            let needed = info.offset.saturating_add(info.size);
            if needed > shard.size {
                let damage = Damage::Truncated { needed, actual: shard.size };
                return Err(SavedModelError::Damaged { path: shard.path.clone(), damage });
            }
            found.insert(key, info);
        }
        Ok(Some(Self { index_path, entries: found, shards }))
    }

    /// The path of the index, for messages.
    pub fn index_path(&self) -> &Path {
        &self.index_path
    }

    /// All tensors by key, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &VariableInfo)> {
        self.entries.iter().map(|(key, info)| (key.as_str(), info))
    }

    /// What the index says of a tensor, without reading it.
    pub fn info(&self, key: &str) -> Result<&VariableInfo, SavedModelError> {
        self.entries
            .get(key)
            .ok_or_else(|| SavedModelError::UnknownTensor { path: self.index_path.clone(), key: key.to_owned() })
    }

    /// Reads a tensor and compares it with its checksum, as TensorFlow does.
    pub fn get(&self, key: &str) -> Result<VariableSlice, SavedModelError> {
        let info = self.info(key)?;
        if info.dtype.size().is_none() {
            let actual = info.dtype.short_name().to_owned();
            let damage = Damage::WrongType { key: key.to_owned(), actual, wanted: "a type of fixed size" };
            return Err(SavedModelError::Damaged { path: self.index_path.clone(), damage });
        }
        let bytes = self.read(info)?;
        self.compare(key, info, checksum::masked(&bytes))?;
        Ok(VariableSlice { dtype: info.dtype, shape: info.shape.clone(), bytes: bytes.into() })
    }

    /// Reads a tensor and compares it with its stored checksum; returns the bytes looked at.
    pub fn verify(&self, key: &str) -> Result<u64, SavedModelError> {
        let info = self.info(key)?;
        let bytes = self.read(info)?;
        let computed = if info.dtype == DataType::DtString {
            let path = self.shards[info.shard as usize].path.clone();
            strings::masked_checksum(&bytes, info.elements())
                .map_err(|damage| SavedModelError::Damaged { path, damage })?
        } else {
            checksum::masked(&bytes)
        };
        self.compare(key, info, computed)?;
        Ok(info.size)
    }

    fn compare(&self, key: &str, info: &VariableInfo, computed: u32) -> Result<(), SavedModelError> {
        if computed == info.crc32c {
            return Ok(());
        }
        let path = self.shards[info.shard as usize].path.clone();
        let damage = Damage::Checksum { what: format!("the tensor {key:?}"), stored: info.crc32c, computed };
        Err(SavedModelError::Damaged { path, damage })
    }

    fn read(&self, info: &VariableInfo) -> Result<Vec<u8>, SavedModelError> {
        // `open` has compared the size with the file's, so this allocates no more than the file has.
        let shard = &self.shards[info.shard as usize];
        let mut bytes = vec![0; info.size as usize];
        shard.file.read_exact_at(&mut bytes, info.offset).map_err(|source| {
            if source.kind() == std::io::ErrorKind::UnexpectedEof {
                let actual = shard.file.metadata().map_or(0, |metadata| metadata.len());
                let damage = Damage::Truncated { needed: info.offset + info.size, actual };
                return SavedModelError::Damaged { path: shard.path.clone(), damage };
            }
            SavedModelError::Io { path: shard.path.clone(), source }
        })?;
        Ok(bytes)
    }
}

fn malformed(reason: impl Into<String>) -> Damage {
    Damage::Malformed { format: "bundle index", reason: reason.into() }
}

/// Decodes and checks one entry of the index.
fn entry(key: &[u8], value: &[u8]) -> Result<(String, VariableInfo), Damage> {
    let key = String::from_utf8(key.to_vec()).map_err(|_| malformed("a key that is not UTF-8"))?;
    let proto =
        BundleEntryProto::decode(value).map_err(|error| malformed(format!("{key:?} cannot be decoded: {error}")))?;
    if !proto.slices.is_empty() {
        return Err(Damage::Unsupported(format!("the partitioned variable {key:?}")));
    }
    let dtype = DataType::try_from(proto.dtype)
        .map_err(|_| Damage::Unsupported(format!("the element type {} of {key:?}", proto.dtype)))?;
    let shape = proto
        .shape
        .as_ref()
        .map_or_else(|| Some(Vec::new()), TensorShapeProto::known)
        .ok_or_else(|| malformed(format!("{key:?} has no definite shape")))?;
    let elements = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let (Ok(offset), Ok(size), Ok(shard)) =
        (u64::try_from(proto.offset), u64::try_from(proto.size), u32::try_from(proto.shard_id))
    else {
        return Err(malformed(format!("{key:?} has a negative place")));
    };
    let bytes = elements.and_then(|count| dtype.size().map_or(Some(None), |width| count.checked_mul(width).map(Some)));
    match bytes {
        Some(None) => {}
        Some(Some(needed)) if needed as u64 == size => {}
        _ => return Err(malformed(format!("{key:?} has {size} bytes, which its shape {shape:?} does not allow"))),
    }
    Ok((key, VariableInfo { dtype, shape, size, shard, offset, crc32c: proto.crc32c }))
}
