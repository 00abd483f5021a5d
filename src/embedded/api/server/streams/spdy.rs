//! SPDY/3.1, as far as Kubernetes' streams need it: streams with headers, data, resets and pings. Flow control is left
//! to TCP, as the peers' own library leaves it.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

const CONTROL: u8 = 0x80;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const FIN: u8 = 1;
/// The largest frame that is read; the peers' library sends 32 KiB and less.
const LARGEST_FRAME: usize = 4 << 20;
/// The largest headers of one stream.
const LARGEST_HEADERS: usize = 64 << 10;
/// Frames that wait for their reader before the connection is read no further.
const WAITING: usize = 64;
/// How long a client may take to close its side.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// zlib's window.
const WINDOW: usize = 32 << 10;

/// A stream that the client opened.
pub(in super::super) struct Stream {
    /// Its headers, names in lower case.
    pub(in super::super) headers: Vec<(String, String)>,
    /// What the client sends on it; ends when the client closes its half.
    pub(in super::super) data: mpsc::Receiver<Bytes>,
    /// Where answers go.
    pub(in super::super) writer: Writer,
}

impl Stream {
    /// A header's value.
    pub(in super::super) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// Our half of a stream.
#[derive(Clone)]
pub(in super::super) struct Writer {
    id: u32,
    frames: mpsc::Sender<Vec<u8>>,
}

impl Writer {
    /// Sends bytes; false when the connection is gone.
    pub(in super::super) async fn send(&self, bytes: &[u8]) -> bool {
        for chunk in bytes.chunks(WINDOW) {
            if self.frames.send(data_frame(self.id, 0, chunk)).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Closes our half.
    pub(in super::super) async fn finish(&self) {
        let _ = self.frames.send(data_frame(self.id, FIN, &[])).await;
    }
}

/// A connection's streams as the client opens them. When it is dropped, what was written is still sent, and then the
/// connection is closed.
pub(in super::super) struct Connection {
    opened: mpsc::Receiver<Stream>,
    _frames: mpsc::Sender<Vec<u8>>,
}

impl Connection {
    /// Takes over a connection.
    pub(in super::super) fn new(io: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        let (reader, writer) = tokio::io::split(io);
        let (frames, queue) = mpsc::channel(WAITING);
        let (open, opened) = mpsc::channel(WAITING);
        // Reading alone does not keep the connection: when the last stream is done, it is over.
        let weak = frames.downgrade();
        let reading = tokio::spawn(async move {
            if let Err(error) = read(reader, open, weak).await {
                tracing::debug!(%error, "a stream connection ended");
            }
        });
        tokio::spawn(async move {
            let _ = write(writer, queue).await;
            // What the client still sends is read, because a reset would take from it what it has not read yet.
            let stop = reading.abort_handle();
            if tokio::time::timeout(LAST_WORDS, reading).await.is_err() {
                stop.abort();
            }
        });
        Self { opened, _frames: frames }
    }

    /// The next stream; `None` when the client is gone.
    pub(in super::super) async fn next(&mut self) -> Option<Stream> {
        self.opened.recv().await
    }
}

async fn write(mut writer: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    while let Some(frame) = queue.recv().await {
        writer.write_all(&frame).await?;
        while let Ok(more) = queue.try_recv() {
            writer.write_all(&more).await?;
        }
        writer.flush().await?;
    }
    writer.shutdown().await
}

async fn read(
    mut reader: impl AsyncRead + Unpin,
    open: mpsc::Sender<Stream>,
    frames: mpsc::WeakSender<Vec<u8>>,
) -> io::Result<()> {
    let mut inflater = Inflater::default();
    let mut streams: HashMap<u32, mpsc::Sender<Bytes>> = HashMap::new();
    loop {
        let mut head = [0; 8];
        reader.read_exact(&mut head).await?;
        let length = usize::from(head[5]) << 16 | usize::from(head[6]) << 8 | usize::from(head[7]);
        if length > LARGEST_FRAME {
            return Err(io::Error::other("a frame is too large"));
        }
        let mut payload = vec![0; length];
        reader.read_exact(&mut payload).await?;
        let flags = head[4];
        let word = |at: usize| {
            payload.get(at..at + 4).map(|bytes| u32::from_be_bytes([bytes[0] & 0x7f, bytes[1], bytes[2], bytes[3]]))
        };
        if head[0] & CONTROL == 0 {
            let id = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            if let Some(stream) = streams.get(&id)
                && !payload.is_empty()
            {
                // Whoever no longer listens does not hold up the others.
                let _ = stream.send(Bytes::from(payload)).await;
            }
            if flags & FIN != 0 {
                streams.remove(&id);
            }
            continue;
        }
        match u16::from_be_bytes([head[2], head[3]]) {
            SYN_STREAM => {
                let (Some(id), Some(block)) = (word(0), payload.get(10..)) else { return Err(malformed()) };
                let headers = inflater.headers(block)?;
                let Some(frames) = frames.upgrade() else { return drain(reader).await };
                let (data, receiver) = mpsc::channel(WAITING);
                if flags & FIN == 0 {
                    streams.insert(id, data);
                }
                let reply = control_frame(SYN_REPLY, 0, &[&id.to_be_bytes()[..], &inflater.empty_block()].concat());
                let stream = Stream { headers, data: receiver, writer: Writer { id, frames: frames.clone() } };
                if frames.send(reply).await.is_err() || open.send(stream).await.is_err() {
                    return drain(reader).await;
                }
            }
            RST_STREAM => {
                word(0).map(|id| streams.remove(&id));
            }
            PING => {
                let Some(frames) = frames.upgrade() else { return drain(reader).await };
                let _ = frames.send(control_frame(PING, 0, &payload)).await;
            }
            GOAWAY => return Ok(()),
            // Settings, window updates and late headers ask for nothing.
            _ => {}
        }
    }
}

async fn drain(mut reader: impl AsyncRead + Unpin) -> io::Result<()> {
    tokio::io::copy(&mut reader, &mut tokio::io::sink()).await.map(drop)
}

fn malformed() -> io::Error {
    io::Error::other("a frame is malformed")
}

fn data_frame(id: u32, flags: u8, bytes: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(bytes.len() + 8);
    frame.extend(id.to_be_bytes());
    frame.push(flags);
    frame.extend(&u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes()[1..]);
    frame.extend(bytes);
    frame
}

fn control_frame(kind: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![CONTROL, 3];
    frame.extend(kind.to_be_bytes());
    frame.push(flags);
    frame.extend(&u32::try_from(payload.len()).unwrap_or(0).to_be_bytes()[1..]);
    frame.extend(payload);
    frame
}

/// Reads the headers of all streams of a connection, which are one compressed stream; and writes ours, uncompressed.
struct Inflater {
    state: Box<DecompressorOxide>,
    window: Vec<u8>,
    at: usize,
    started: bool,
    replied: bool,
}

impl Default for Inflater {
    fn default() -> Self {
        Self { state: Box::default(), window: vec![0; WINDOW], at: 0, started: false, replied: false }
    }
}

impl Inflater {
    fn headers(&mut self, block: &[u8]) -> io::Result<Vec<(String, String)>> {
        let bytes = self.inflate(block)?;
        let mut rest = bytes.as_slice();
        let count = number(&mut rest).ok_or_else(malformed)?;
        let mut text = || -> Option<String> {
            let length = number(&mut rest)?;
            let (text, left) = rest.split_at_checked(length)?;
            rest = left;
            Some(String::from_utf8_lossy(text).into_owned())
        };
        // Every header takes eight bytes at least, so that the text ends before a false count does.
        let pairs = (0..count).map(|_| Some((text()?.to_lowercase(), text()?)));
        pairs.collect::<Option<Vec<_>>>().ok_or_else(malformed)
    }

    fn inflate(&mut self, block: &[u8]) -> io::Result<Vec<u8>> {
        let mut input = block;
        if !self.started {
            self.started = true;
            // zlib's own header: two bytes, and the dictionary's checksum if it is used.
            let dictionary = input.get(1).is_some_and(|flags| flags & 0x20 != 0);
            input = input.get(if dictionary { 6 } else { 2 }..).ok_or_else(malformed)?;
            let known = dictionary_bytes();
            self.window[..known.len()].copy_from_slice(&known);
            self.at = known.len();
        }
        let mut out = Vec::new();
        loop {
            let flags = TINFL_FLAG_HAS_MORE_INPUT;
            let (status, read, written) = decompress(&mut self.state, input, &mut self.window, self.at, flags);
            out.extend_from_slice(&self.window[self.at..self.at + written]);
            self.at = (self.at + written) % WINDOW;
            input = &input[read..];
            match status {
                TINFLStatus::HasMoreOutput if out.len() <= LARGEST_HEADERS => {}
                TINFLStatus::NeedsMoreInput | TINFLStatus::Done => return Ok(out),
                _ => return Err(malformed()),
            }
        }
    }

    /// No headers at all: a stored block, after zlib's header where it is the first, and an empty one, at which readers
    /// look at what they have so far.
    fn empty_block(&mut self) -> Vec<u8> {
        let mut block = if std::mem::replace(&mut self.replied, true) { Vec::new() } else { vec![0x78, 0x01] };
        block.extend([0, 4, 0, 0xfb, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
        block
    }
}

fn number(rest: &mut &[u8]) -> Option<usize> {
    let (first, left) = rest.split_at_checked(4)?;
    *rest = left;
    usize::try_from(u32::from_be_bytes(first.try_into().ok()?)).ok()
}

/// The dictionary that headers are compressed with (SPDY protocol, draft 3.1, section 2.6.10.1).
fn dictionary_bytes() -> Vec<u8> {
    const WORDS: &str = "options head post put delete trace accept accept-charset accept-encoding accept-language \
        accept-ranges age allow authorization cache-control connection content-base content-encoding content-language \
        content-length content-location content-md5 content-range content-type date etag expect expires from host \
        if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards \
        pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding \
        upgrade user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public \
        set-cookie keep-alive origin";
    const TAIL: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
        203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized\
        403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable\
        Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT\
        chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,\
        text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";
    let mut bytes = Vec::new();
    for word in WORDS.split_ascii_whitespace() {
        let word = word.replace('_', " ");
        bytes.extend(u32::try_from(word.len()).unwrap_or(0).to_be_bytes());
        bytes.extend(word.as_bytes());
    }
    bytes.extend(TAIL.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    fn headers_block(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut plain = u32::try_from(pairs.len()).unwrap().to_be_bytes().to_vec();
        for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
            plain.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
            plain.extend(text.as_bytes());
        }
        plain
    }

    #[test]
    fn the_dictionary_is_the_protocols() {
        let (mut a, mut b) = (1u32, 0u32);
        for byte in dictionary_bytes() {
            a = (a + u32::from(byte)) % 65521;
            b = (b + a) % 65521;
        }
        assert_eq!((b << 16) | a, 0xe3c6_a7c2, "its Adler-32, by which zlib names it");
    }

    #[test]
    fn header_blocks_are_one_compressed_stream() {
        let mut compress = Compress::new(Compression::fast(), true);
        let mut inflater = Inflater::default();
        for pairs in [vec![("streamType", "error")], vec![("streamType", "stdout"), ("port", "8501")]] {
            let mut block = Vec::with_capacity(4096);
            compress.compress_vec(&headers_block(&pairs), &mut block, FlushCompress::Sync).unwrap();
            let headers = inflater.headers(&block).unwrap();
            let expected: Vec<(String, String)> =
                pairs.iter().map(|(name, value)| (name.to_lowercase(), (*value).to_owned())).collect();
            assert_eq!(headers, expected);
        }
        assert!(inflater.headers(&[0xff, 0xff]).is_err());
    }

    #[tokio::test]
    async fn streams_are_opened_answered_and_closed() {
        let (client, server) = tokio::io::duplex(1 << 16);
        let mut connection = Connection::new(server);
        let (mut from, mut to) = tokio::io::split(client);
        let mut compress = Compress::new(Compression::fast(), true);
        let mut block = Vec::with_capacity(4096);
        compress.compress_vec(&headers_block(&[("streamtype", "stdin")]), &mut block, FlushCompress::Sync).unwrap();
        let opening = [&1u32.to_be_bytes()[..], &[0; 6], &block].concat();
        to.write_all(&control_frame(SYN_STREAM, 0, &opening)).await.unwrap();
        to.write_all(&control_frame(PING, 0, &7u32.to_be_bytes())).await.unwrap();
        to.write_all(&data_frame(1, FIN, b"hello")).await.unwrap();
        let mut stream = connection.next().await.unwrap();
        assert_eq!(stream.header("streamtype"), "stdin");
        assert_eq!(stream.data.recv().await.unwrap(), "hello");
        assert!(stream.data.recv().await.is_none(), "the client closed its half");
        assert!(stream.writer.send(b"bye").await);
        stream.writer.finish().await;
        drop((stream, connection));
        let mut answer = Vec::new();
        from.read_to_end(&mut answer).await.unwrap();
        let block = [0x78, 1, 0, 4, 0, 0xfb, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
        let reply = [&[0x80, 3, 0, 2, 0, 0, 0, 20][..], &1u32.to_be_bytes(), &block];
        let ping = [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 7];
        assert_eq!(answer, [&reply.concat()[..], &ping, &data_frame(1, 0, b"bye"), &data_frame(1, FIN, b"")].concat());
    }
}
