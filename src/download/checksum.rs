//! Checksums of files, computed while reading.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;

use md5::Md5;
use sha2::{Digest, Sha256};

/// What a file's bytes must hash to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// MD5, as Keras publishes it for its weights.
    Md5([u8; 16]),
    /// SHA-256.
    Sha256([u8; 32]),
}

/// Why a text is no checksum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an MD5 (32 hexadecimal digits) nor a SHA-256 (64)")]
pub struct ChecksumError(String);

impl FromStr for Checksum {
    type Err = ChecksumError;

    fn from_str(text: &str) -> Result<Self, ChecksumError> {
        let error = || ChecksumError(text.to_owned());
        let digits: Vec<u8> = text
            .chars()
            .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
            .collect::<Option<_>>()
            .ok_or_else(error)?;
        let bytes: Vec<u8> =
            digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
        match digits.len() {
            32 => Ok(Self::Md5(bytes.try_into().map_err(|_| error())?)),
            64 => Ok(Self::Sha256(bytes.try_into().map_err(|_| error())?)),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, bytes): (_, &[u8]) = match self {
            Self::Md5(bytes) => ("md5", bytes),
            Self::Sha256(bytes) => ("sha256", bytes),
        };
        write!(f, "{name}:")?;
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Checksum {
    /// Its digits alone, lowercase.
    pub fn hex(&self) -> String {
        self.to_string().split_off(self.to_string().find(':').map_or(0, |colon| colon + 1))
    }

    /// The checksum of the same kind of a file's bytes.
    pub fn of_file(self, path: &Path) -> io::Result<Self> {
        let mut file = std::fs::File::open(path)?;
        Ok(match self {
            Self::Md5(_) => Self::Md5(digest::<Md5>(&mut file)?.into()),
            Self::Sha256(_) => Self::Sha256(digest::<Sha256>(&mut file)?.into()),
        })
    }
}

fn digest<D: Digest>(file: &mut impl Read) -> io::Result<sha2::digest::Output<D>> {
    let mut digest = D::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(digest.finalize()),
            Ok(count) => digest.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_read_written_and_computed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "abc").unwrap();
        for text in
            ["900150983cd24fb0d6963f7d28e17f72", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"]
        {
            let checksum: Checksum = text.parse().unwrap();
            assert_eq!(checksum.of_file(&path).unwrap(), checksum);
            assert!(checksum.to_string().ends_with(text));
        }
        assert!("xyz".parse::<Checksum>().is_err());
        assert!("90015098".parse::<Checksum>().is_err());
    }
}
