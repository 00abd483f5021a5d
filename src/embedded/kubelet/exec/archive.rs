use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::view::{Found, absolute};
use super::{Console, ContainerPlace, plain};

const FAILED: u8 = 2;
const CHUNK: usize = 32 << 10;

/// What is asked of `tar`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    create: bool,
    extract: bool,
    list: bool,
    file: Option<String>,
    folder: String,
    paths: Vec<String>,
}

impl Asked {
    fn parse(arguments: &[&str]) -> Result<Self, String> {
        let mut asked = Self { folder: "/".to_owned(), ..Self::default() };
        let mut rest = arguments.iter();
        let mut first = true;
        while let Some(argument) = rest.next() {
            if let Some(long) = argument.strip_prefix("--") {
                match long {
                    "create" => asked.create = true,
                    "extract" | "get" => asked.extract = true,
                    "list" => asked.list = true,
                    "gzip" => return Err("compression is not supported here".to_owned()),
                    _ => {
                        if let Some(folder) = long.strip_prefix("directory=") {
                            folder.clone_into(&mut asked.folder);
                        } else if let Some(file) = long.strip_prefix("file=") {
                            asked.file = Some(file.to_owned());
                        }
                    }
                }
                continue;
            }
            let letters = match argument.strip_prefix('-') {
                Some(letters) if !letters.is_empty() => letters,
                _ if first => argument,
                _ => {
                    asked.paths.push((*argument).to_owned());
                    continue;
                }
            };
            first = false;
            for letter in letters.chars() {
                match letter {
                    'c' => asked.create = true,
                    'x' => asked.extract = true,
                    't' => asked.list = true,
                    'f' => asked.file = rest.next().map(|file| (*file).to_owned()),
                    'C' => asked.folder = rest.next().map_or_else(|| "/".to_owned(), |folder| (*folder).to_owned()),
                    'z' | 'j' | 'J' => return Err("compression is not supported here".to_owned()),
                    _ => {}
                }
            }
        }
        if [asked.create, asked.extract, asked.list].iter().filter(|asked| **asked).count() != 1 {
            return Err("You must specify one of the '-c', '-t' and '-x' options".to_owned());
        }
        if asked.file.as_deref().is_some_and(|file| file != "-") {
            return Err(
                "archives are read from standard input and written to standard output only: use `-f -`".to_owned()
            );
        }
        Ok(asked)
    }
}

/// `tar`, to standard output or from standard input, which is what `kubectl cp` uses.
pub(super) async fn run(
    place: Arc<ContainerPlace>,
    console: Console,
    stdin: mpsc::Receiver<Bytes>,
    arguments: &[&str],
) -> u8 {
    let asked = match Asked::parse(arguments) {
        Ok(asked) => asked,
        Err(why) => {
            console.err(format!("tar: {why}\n")).await;
            return FAILED;
        }
    };
    let errors = console.clone();
    // Files are read and written by calls that block.
    let work = tokio::task::spawn_blocking(move || {
        if asked.create { create(&place, &asked, console) } else { extract(&place, &asked, console, stdin) }
    });
    match work.await {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            errors.err(format!("tar: {}\n", plain(&error))).await;
            FAILED
        }
        Err(_) => FAILED,
    }
}

fn complain(console: &Console, text: String) {
    use crate::embedded::api::Output;
    let _ = console.0.blocking_send(Output::Stderr(Bytes::from(format!("tar: {text}\n"))));
}

fn create(place: &ContainerPlace, asked: &Asked, console: Console) -> io::Result<u8> {
    if asked.paths.is_empty() {
        complain(&console, "Cowardly refusing to create an empty archive".to_owned());
        return Ok(FAILED);
    }
    let mut code = 0;
    let mut archive = tar::Builder::new(io::BufWriter::with_capacity(CHUNK, Pipe(console.clone())));
    archive.follow_symlinks(false);
    for path in &asked.paths {
        let full = absolute(&format!("{}/{path}", if path.starts_with('/') { "" } else { &asked.folder }));
        let name = path.trim_start_matches('/').trim_end_matches('/');
        let name = if name.is_empty() { "." } else { name };
        if path.starts_with('/') {
            complain(&console, "Removing leading `/' from member names".to_owned());
        }
        match place.view.find(&full.to_string_lossy()) {
            None => {
                complain(&console, format!("{path}: Cannot stat: No such file or directory"));
                code = FAILED;
            }
            Some(Found::Host(host)) if host.is_dir() => archive.append_dir_all(name, host)?,
            Some(Found::Host(host)) => archive.append_path_with_name(host, name)?,
            Some(Found::Folder(entries)) => {
                for entry in entries {
                    let inner = full.join(&entry);
                    if let Some(Found::Host(host)) = place.view.find(&inner.to_string_lossy()) {
                        let name = Path::new(name).join(&entry);
                        if host.is_dir() {
                            archive.append_dir_all(name, host)?;
                        } else {
                            archive.append_path_with_name(host, name)?;
                        }
                    }
                }
            }
        }
    }
    archive.into_inner()?.flush()?;
    if code != 0 {
        complain(&console, "Exiting with failure status due to previous errors".to_owned());
    }
    Ok(code)
}

fn extract(place: &ContainerPlace, asked: &Asked, console: Console, stdin: mpsc::Receiver<Bytes>) -> io::Result<u8> {
    let mut code = 0;
    let mut archive = tar::Archive::new(Input { stdin, rest: Bytes::new() });
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        if asked.list {
            use crate::embedded::api::Output;
            let _ = console.0.blocking_send(Output::Stdout(Bytes::from(format!("{name}\n"))));
            continue;
        }
        if name.split('/').any(|part| part == "..") {
            complain(&console, format!("{name}: Member name contains '..'"));
            code = FAILED;
            continue;
        }
        let kind = entry.header().entry_type();
        let target = match place.view.writable(&format!("{}/{name}", asked.folder)) {
            Ok(target) => target,
            Err(why) => {
                complain(&console, format!("{name}: Cannot open: {why}"));
                code = FAILED;
                continue;
            }
        };
        let done = if kind.is_dir() {
            std::fs::create_dir_all(&target)
        } else if kind.is_file() {
            let folder = target.parent().map_or(Ok(()), std::fs::create_dir_all);
            folder
                .and_then(|()| std::fs::File::create(&target))
                .and_then(|mut file| io::copy(&mut entry, &mut file))
                .map(drop)
        } else {
            // A link could lead out of the mount.
            Err(io::Error::other("only files and folders are unpacked here"))
        };
        if let Err(error) = done {
            complain(&console, format!("{name}: Cannot open: {}", plain(&error)));
            code = FAILED;
        }
    }
    if code != 0 {
        complain(&console, "Exiting with failure status due to previous errors".to_owned());
    }
    Ok(code)
}

/// Standard output for code that blocks.
struct Pipe(Console);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        use crate::embedded::api::Output;
        let sent = self.0.0.blocking_send(Output::Stdout(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard input for code that blocks.
struct Input {
    stdin: mpsc::Receiver<Bytes>,
    rest: Bytes,
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.stdin.blocking_recv() {
                Some(bytes) => self.rest = bytes,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.rest.len());
        buffer[..length].copy_from_slice(&self.rest.split_to(length));
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubectl_cp_asks_for_is_understood() {
        let asked = Asked::parse(&["cf", "-", "/models/resnet50"]).unwrap();
        assert!(asked.create && asked.paths == ["/models/resnet50"] && asked.folder == "/");
        let asked = Asked::parse(&["--no-same-permissions", "--no-same-owner", "-xmf", "-", "-C", "/tmp"]).unwrap();
        assert!(asked.extract && asked.paths.is_empty() && asked.folder == "/tmp");
        assert!(Asked::parse(&["czf", "-", "x"]).is_err());
        assert!(Asked::parse(&["cf", "/tmp/x.tar", "x"]).is_err());
        assert!(Asked::parse(&["x"]).is_ok() && Asked::parse(&["-v"]).is_err());
    }
}
