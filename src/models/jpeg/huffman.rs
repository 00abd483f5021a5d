//! Huffman tables and the bit stream of a scan.

use super::JpegError;

/// A Huffman table in the canonical form of the standard's annex F: for every code length, the largest code and where
/// its values begin.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// The largest code of each length 1..=16, or -1 where there is none.
    max_code: [i32; 17],
    /// What to add to a code of this length to get the index of its value.
    value_offset: [i32; 17],
    values: Vec<u8>,
}

impl Table {
    /// Builds a table from the sixteen counts of a DHT segment and its values.
    pub(super) fn new(counts: &[u8; 16], values: &[u8]) -> Result<Self, JpegError> {
        let mut max_code = [-1; 17];
        let mut value_offset = [0; 17];
        let (mut code, mut index) = (0_i32, 0_i32);
        for length in 1..=16 {
            let count = i32::from(counts[length - 1]);
            if count > 0 {
                value_offset[length] = index - code;
                code += count;
                index += count;
                max_code[length] = code - 1;
            }
            if code > 1 << length {
                return Err(JpegError::Corrupt("a Huffman table has more codes than its lengths allow"));
            }
            code <<= 1;
        }
        Ok(Self { max_code, value_offset, values: values.to_vec() })
    }
}

/// Reads bits out of entropy-coded data, undoing byte stuffing and stopping at markers.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    position: usize,
    buffer: u32,
    available: u32,
}

impl<'a> Bits<'a> {
    /// Begins at `position` of `data`.
    pub(super) fn new(data: &'a [u8], position: usize) -> Self {
        Self { data, position, buffer: 0, available: 0 }
    }

    /// Where the first byte lies that was not taken: the next marker, once a scan is complete.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    fn bit(&mut self) -> Result<u32, JpegError> {
        if self.available == 0 {
            let byte = *self.data.get(self.position).ok_or(JpegError::Truncated("a scan"))?;
            if byte == 0xFF {
                match self.data.get(self.position + 1) {
                    Some(0) => self.position += 2,
                    Some(_) => return Err(JpegError::Corrupt("a marker stands where a scan should go on")),
                    None => return Err(JpegError::Truncated("a scan")),
                }
            } else {
                self.position += 1;
            }
            self.buffer = u32::from(byte);
            self.available = 8;
        }
        self.available -= 1;
        Ok((self.buffer >> self.available) & 1)
    }

    /// The next value by a table.
    pub(super) fn symbol(&mut self, table: &Table) -> Result<u8, JpegError> {
        let mut code = 0_i32;
        for length in 1..=16 {
            code = (code << 1) | self.bit()? as i32;
            if code <= table.max_code[length] {
                let index = (code + table.value_offset[length]) as usize;
                return table.values.get(index).copied().ok_or(JpegError::Corrupt("a Huffman table lacks a value"));
            }
        }
        Err(JpegError::Corrupt("a code that is in no Huffman table"))
    }

    /// A signed number of `size` bits in the standard's one's-complement-like form.
    pub(super) fn receive_extend(&mut self, size: u8) -> Result<i32, JpegError> {
        if size == 0 {
            return Ok(0);
        }
        let mut value = 0_i32;
        for _ in 0..size {
            value = (value << 1) | self.bit()? as i32;
        }
        let half = 1 << (size - 1);
        Ok(if value < half { value - (half << 1) + 1 } else { value })
    }

    /// Expects the restart marker of this number (0..=7) at the next byte boundary and goes on behind it.
    pub(super) fn restart(&mut self, number: u8) -> Result<(), JpegError> {
        self.available = 0;
        // Any number of fill bytes may precede a marker.
        while self.data.get(self.position) == Some(&0xFF) && self.data.get(self.position + 1) == Some(&0xFF) {
            self.position += 1;
        }
        match self.data.get(self.position..self.position + 2) {
            Some([0xFF, marker]) if *marker == 0xD0 + number => {
                self.position += 2;
                Ok(())
            }
            Some(_) => Err(JpegError::Corrupt("a restart marker is missing")),
            None => Err(JpegError::Truncated("a scan")),
        }
    }
}
