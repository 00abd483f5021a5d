//! Segments, scans, and the way from samples to RGB.

use super::huffman::{Bits, Table};
use super::idct;
use super::{JpegError, Rgb};

/// The largest picture that is decoded, in pixels: 64 megapixels, or 192 MiB of RGB.
pub const MAX_PIXELS: usize = 64 << 20;

/// Natural position of the k-th coefficient in zigzag order (T.81, figure 5).
const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// One colour component: its sampling factors and its samples, padded to whole minimum coded units.
struct Component {
    id: u8,
    horizontal: usize,
    vertical: usize,
    quantisation: usize,
    /// Blocks a row and rows of blocks, padded.
    blocks: (usize, usize),
    samples: Vec<u8>,
    decoded: bool,
}

impl Component {
    fn stride(&self) -> usize {
        self.blocks.0 * 8
    }
}

struct Frame {
    width: usize,
    height: usize,
    largest: (usize, usize),
    components: Vec<Component>,
}

#[derive(Default)]
struct Decoder {
    quantisation: [Option<[i32; 64]>; 4],
    dc: [Option<Table>; 4],
    ac: [Option<Table>; 4],
    restart_interval: usize,
    jfif: bool,
    adobe_transform: Option<u8>,
    frame: Option<Frame>,
}

/// Decodes a baseline or extended sequential 8-bit Huffman JPEG with one or three components.
pub fn decode(bytes: &[u8]) -> Result<Rgb, JpegError> {
    if !bytes.starts_with(&[0xFF, 0xD8]) {
        return Err(JpegError::NotJpeg);
    }
    let mut decoder = Decoder::default();
    let mut position = 2;
    loop {
        let marker = next_marker(bytes, &mut position)?;
        match marker {
            0xD9 => break,
            0x01 | 0xD0..=0xD8 => continue,
            _ => {}
        }
        let segment = segment(bytes, &mut position)?;
        match marker {
            0xC0 | 0xC1 => decoder.start_of_frame(segment)?,
            0xC2 => return Err(JpegError::NotBaseline("it is progressive")),
            0xC4 => decoder.huffman_tables(segment)?,
            0xC3 | 0xC5..=0xC7 | 0xCB | 0xCD..=0xCF => {
                return Err(JpegError::NotBaseline("it is lossless or hierarchical"));
            }
            0xC9 | 0xCA | 0xCC => return Err(JpegError::NotBaseline("it is arithmetically coded")),
            0xDA => {
                position = decoder.scan(segment, bytes, position)?;
                if decoder.complete() {
                    break;
                }
            }
            0xDB => decoder.quantisation_tables(segment)?,
            0xDD => decoder.restart_interval = usize::from(word(segment, 0)?),
            0xE0 if segment.starts_with(b"JFIF\0") => decoder.jfif = true,
            0xEE if segment.starts_with(b"Adobe") => decoder.adobe_transform = segment.get(11).copied(),
            _ => {}
        }
    }
    decoder.into_rgb()
}

fn next_marker(bytes: &[u8], position: &mut usize) -> Result<u8, JpegError> {
    // Garbage between segments is skipped, as other decoders do.
    while *bytes.get(*position).ok_or(JpegError::Truncated("its segments"))? != 0xFF {
        *position += 1;
    }
    loop {
        let byte = *bytes.get(*position).ok_or(JpegError::Truncated("its segments"))?;
        *position += 1;
        if byte != 0xFF && byte != 0 {
            return Ok(byte);
        }
        if byte == 0 {
            return next_marker(bytes, position);
        }
    }
}

fn segment<'a>(bytes: &'a [u8], position: &mut usize) -> Result<&'a [u8], JpegError> {
    let length = usize::from(word(bytes, *position)?);
    if length < 2 {
        return Err(JpegError::Corrupt("a segment is shorter than its own length"));
    }
    let body = bytes.get(*position + 2..*position + length).ok_or(JpegError::Truncated("a segment"))?;
    *position += length;
    Ok(body)
}

fn word(bytes: &[u8], at: usize) -> Result<u16, JpegError> {
    Ok((u16::from(byte(bytes, at)?) << 8) | u16::from(byte(bytes, at + 1)?))
}

fn byte(bytes: &[u8], at: usize) -> Result<u8, JpegError> {
    bytes.get(at).copied().ok_or(JpegError::Truncated("a segment"))
}

impl Decoder {
    fn quantisation_tables(&mut self, mut segment: &[u8]) -> Result<(), JpegError> {
        while let Some((head, rest)) = segment.split_first() {
            let (precision, id) = (head >> 4, usize::from(head & 15));
            if id > 3 || precision > 1 {
                return Err(JpegError::Corrupt("a quantisation table of an unknown number or precision"));
            }
            let width = usize::from(precision) + 1;
            let mut table = [0; 64];
            for (k, natural) in ZIGZAG.into_iter().enumerate() {
                table[natural] = if width == 1 { i32::from(byte(rest, k)?) } else { i32::from(word(rest, 2 * k)?) };
            }
            self.quantisation[id] = Some(table);
            segment = &rest[64 * width..];
        }
        Ok(())
    }

    fn huffman_tables(&mut self, mut segment: &[u8]) -> Result<(), JpegError> {
        while let Some((head, rest)) = segment.split_first() {
            let (class, id) = (head >> 4, usize::from(head & 15));
            if id > 3 || class > 1 {
                return Err(JpegError::Corrupt("a Huffman table of an unknown number or class"));
            }
            let counts: &[u8; 16] = rest.first_chunk().ok_or(JpegError::Truncated("a Huffman table"))?;
            let total: usize = counts.iter().map(|count| usize::from(*count)).sum();
            let values = rest.get(16..16 + total).ok_or(JpegError::Truncated("a Huffman table"))?;
            let table = Table::new(counts, values)?;
            if class == 0 {
                self.dc[id] = Some(table);
            } else {
                self.ac[id] = Some(table);
            }
            segment = &rest[16 + total..];
        }
        Ok(())
    }

    fn start_of_frame(&mut self, segment: &[u8]) -> Result<(), JpegError> {
        if self.frame.is_some() {
            return Err(JpegError::Corrupt("it has two frames"));
        }
        if byte(segment, 0)? != 8 {
            return Err(JpegError::NotBaseline("its samples do not have 8 bits"));
        }
        let (height, width) = (usize::from(word(segment, 1)?), usize::from(word(segment, 3)?));
        let count = usize::from(byte(segment, 5)?);
        if height == 0 || width == 0 {
            return Err(JpegError::Corrupt("it has no pixels"));
        }
        if width * height > MAX_PIXELS {
            return Err(JpegError::TooLarge { width, height });
        }
        if count != 1 && count != 3 {
            return Err(JpegError::NotBaseline("it has neither one nor three components"));
        }
        let mut factors = Vec::with_capacity(count);
        for index in 0..count {
            let at = 6 + 3 * index;
            let (id, sampling, table) = (byte(segment, at)?, byte(segment, at + 1)?, byte(segment, at + 2)?);
            // With one component the standard makes the sampling factors meaningless: one block is one unit.
            let (horizontal, vertical) =
                if count == 1 { (1, 1) } else { (usize::from(sampling >> 4), usize::from(sampling & 15)) };
            if !(1..=4).contains(&horizontal) || !(1..=4).contains(&vertical) || table > 3 {
                return Err(JpegError::Corrupt("a component has an impossible sampling factor or table"));
            }
            factors.push((id, horizontal, vertical, usize::from(table)));
        }
        let largest = (
            factors.iter().map(|factor| factor.1).max().unwrap_or(1),
            factors.iter().map(|factor| factor.2).max().unwrap_or(1),
        );
        let units = (width.div_ceil(8 * largest.0), height.div_ceil(8 * largest.1));
        let components = factors
            .into_iter()
            .map(|(id, horizontal, vertical, quantisation)| {
                if largest.0 % horizontal != 0 || largest.1 % vertical != 0 {
                    return Err(JpegError::NotBaseline("its sampling factors are not whole ratios"));
                }
                let blocks = (units.0 * horizontal, units.1 * vertical);
                let samples = vec![0; blocks.0 * blocks.1 * 64];
                Ok(Component { id, horizontal, vertical, quantisation, blocks, samples, decoded: false })
            })
            .collect::<Result<_, _>>()?;
        self.frame = Some(Frame { width, height, largest, components });
        Ok(())
    }

    fn complete(&self) -> bool {
        self.frame.as_ref().is_some_and(|frame| frame.components.iter().all(|component| component.decoded))
    }

    /// Decodes one scan that begins at `position`, and returns where the next marker is looked for.
    fn scan(&mut self, header: &[u8], bytes: &[u8], position: usize) -> Result<usize, JpegError> {
        let frame = self.frame.as_mut().ok_or(JpegError::Corrupt("a scan comes before the frame"))?;
        let count = usize::from(byte(header, 0)?);
        let mut members = Vec::with_capacity(count);
        for index in 0..count {
            let (id, tables) = (byte(header, 1 + 2 * index)?, byte(header, 2 + 2 * index)?);
            let component = frame
                .components
                .iter()
                .position(|component| component.id == id && !component.decoded)
                .ok_or(JpegError::Corrupt("a scan names a component that is not there, or twice"))?;
            let table = |tables: &[Option<Table>; 4], id: u8| {
                tables
                    .get(usize::from(id))
                    .and_then(Clone::clone)
                    .ok_or(JpegError::Corrupt("a Huffman table is missing"))
            };
            let quantisation = self.quantisation[frame.components[component].quantisation]
                .ok_or(JpegError::Corrupt("a quantisation table is missing"))?;
            frame.components[component].decoded = true;
            members.push(Member {
                component,
                dc: table(&self.dc, tables >> 4)?,
                ac: table(&self.ac, tables & 15)?,
                quantisation,
                prediction: 0,
            });
        }
        if members.is_empty() {
            return Err(JpegError::Corrupt("a scan without components"));
        }

        let interleaved = members.len() > 1;
        let units = if interleaved {
            (frame.width.div_ceil(8 * frame.largest.0), frame.height.div_ceil(8 * frame.largest.1))
        } else {
            // A scan of one component holds only the blocks that the picture really covers.
            let component = &frame.components[members[0].component];
            let across = (frame.width * component.horizontal).div_ceil(8 * frame.largest.0);
            (across, (frame.height * component.vertical).div_ceil(8 * frame.largest.1))
        };
        let mut bits = Bits::new(bytes, position);
        for unit in 0..units.0 * units.1 {
            if self.restart_interval > 0 && unit > 0 && unit % self.restart_interval == 0 {
                bits.restart(((unit / self.restart_interval - 1) % 8) as u8)?;
                for member in &mut members {
                    member.prediction = 0;
                }
            }
            let (column, row) = (unit % units.0, unit / units.0);
            for member in &mut members {
                let component = &mut frame.components[member.component];
                let (across, down) = if interleaved { (component.horizontal, component.vertical) } else { (1, 1) };
                for v in 0..down {
                    for h in 0..across {
                        let samples = member.block(&mut bits)?;
                        put(component, column * across + h, row * down + v, &samples);
                    }
                }
            }
        }
        Ok(bits.position())
    }

    fn into_rgb(self) -> Result<Rgb, JpegError> {
        let complete = self.complete();
        let frame = self.frame.ok_or(JpegError::Corrupt("it has no frame"))?;
        if !complete {
            return Err(JpegError::Truncated("its scans"));
        }
        let (width, height) = (frame.width, frame.height);
        let mut samples = Vec::with_capacity(width * height * 3);
        if let [grey] = &frame.components[..] {
            for y in 0..height {
                for level in &grey.samples[y * grey.stride()..][..width] {
                    samples.extend_from_slice(&[*level; 3]);
                }
            }
            return Ok(Rgb { width, height, samples });
        }
        let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
        // The order of evidence is libjpeg's: JFIF, then Adobe's marker, then the components' names.
        let rgb = !self.jfif && (self.adobe_transform == Some(0) || (self.adobe_transform.is_none() && ids == *b"RGB"));
        let [first, second, third] = &frame.components[..] else {
            return Err(JpegError::NotBaseline("it has neither one nor three components"));
        };
        let at = |component: &Component, x: usize, y: usize| {
            let column = x * component.horizontal / frame.largest.0;
            component.samples[y * component.vertical / frame.largest.1 * component.stride() + column]
        };
        for y in 0..height {
            for x in 0..width {
                let pixel = [at(first, x, y), at(second, x, y), at(third, x, y)];
                samples.extend_from_slice(&if rgb { pixel } else { to_rgb(pixel) });
            }
        }
        Ok(Rgb { width, height, samples })
    }
}

/// A component's part in a scan.
struct Member {
    component: usize,
    dc: Table,
    ac: Table,
    quantisation: [i32; 64],
    prediction: i32,
}

impl Member {
    fn block(&mut self, bits: &mut Bits<'_>) -> Result<[u8; 64], JpegError> {
        let mut coefficients = [0_i32; 64];
        let size = bits.symbol(&self.dc)?;
        if size > 15 {
            return Err(JpegError::Corrupt("a DC difference of more than 15 bits"));
        }
        self.prediction = self.prediction.wrapping_add(bits.receive_extend(size)?);
        coefficients[0] = self.prediction.wrapping_mul(self.quantisation[0]);
        let mut k = 1;
        while k < 64 {
            let symbol = bits.symbol(&self.ac)?;
            let (run, size) = (usize::from(symbol >> 4), symbol & 15);
            if size == 0 {
                if run != 15 {
                    break;
                }
                k += 16;
                continue;
            }
            k += run;
            let natural = *ZIGZAG.get(k).ok_or(JpegError::Corrupt("a block has more than 64 coefficients"))?;
            coefficients[natural] = bits.receive_extend(size)?.wrapping_mul(self.quantisation[natural]);
            k += 1;
        }
        Ok(idct::inverse(&coefficients))
    }
}

fn put(component: &mut Component, column: usize, row: usize, samples: &[u8; 64]) {
    let stride = component.stride();
    for (y, line) in samples.chunks_exact(8).enumerate() {
        let start = (row * 8 + y) * stride + column * 8;
        component.samples[start..start + 8].copy_from_slice(line);
    }
}

/// YCbCr to RGB by the 16-bit fixed-point arithmetic of libjpeg's `jdcolor`.
fn to_rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    const fn fix(value: f64) -> i32 {
        (value * 65536.0 + 0.5) as i32
    }
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((fix(1.402) * cr + HALF) >> 16);
    let green = y + ((-fix(0.344_14) * cb + HALF - fix(0.714_14) * cr) >> 16);
    let blue = y + ((fix(1.772) * cb + HALF) >> 16);
    [red, green, blue].map(|level| level.clamp(0, 255) as u8)
}
