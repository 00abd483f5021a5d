use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jiff::Timestamp;

use super::view::{Found, View};
use super::{Console, plain};

const USAGE: u8 = 2;

#[derive(Clone, Copy, Default)]
struct Options {
    all: bool,
    long: bool,
    folder_itself: bool,
    marks: bool,
    human: bool,
}

/// `ls`, as it prints to a pipe: one entry a line.
pub(super) async fn run(view: &View, console: &Console, arguments: &[&str]) -> u8 {
    let mut options = Options::default();
    let mut paths = Vec::new();
    for argument in arguments {
        match argument.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            Some(letters) if !letters.starts_with('-') => {
                for letter in letters.chars() {
                    match letter {
                        'a' | 'A' => options.all = true,
                        'l' => options.long = true,
                        'd' => options.folder_itself = true,
                        'F' | 'p' => options.marks = true,
                        'h' => options.human = true,
                        '1' | 't' | 'r' | 'S' | 'n' | 'g' | 'o' => {}
                        other => {
                            console.err(format!("ls: invalid option -- '{other}'\n")).await;
                            return USAGE;
                        }
                    }
                }
            }
            Some(_) => {}
            None => paths.push(*argument),
        }
    }
    if paths.is_empty() {
        paths.push("/");
    }
    let mut code = 0;
    let several = paths.len() > 1;
    let mut text = String::new();
    for (index, path) in paths.iter().enumerate() {
        match listing(view, path, options) {
            Ok((is_folder, lines)) => {
                if several && is_folder {
                    text.push_str(&format!("{}{path}:\n", if index > 0 { "\n" } else { "" }));
                }
                text.push_str(&lines);
            }
            Err(why) => {
                console.err(format!("ls: cannot access '{path}': {why}\n")).await;
                code = USAGE;
            }
        }
    }
    console.out(text).await;
    code
}

fn listing(view: &View, path: &str, options: Options) -> Result<(bool, String), String> {
    let found = view.find(path).ok_or("No such file or directory")?;
    let mut entries: Vec<(String, Option<Metadata>)> = Vec::new();
    let is_folder = match found {
        Found::Folder(_) if options.folder_itself => {
            entries.push((path.to_owned(), None));
            false
        }
        Found::Folder(names) => {
            entries.extend(names.into_iter().map(|name| (name, None)));
            true
        }
        Found::Host(host) if host.is_dir() && !options.folder_itself => {
            for entry in std::fs::read_dir(&host).map_err(|error| plain(&error))? {
                let entry = entry.map_err(|error| plain(&error))?;
                let name = entry.file_name().to_string_lossy().into_owned();
                entries.push((name, entry.metadata().ok()));
            }
            true
        }
        Found::Host(host) => {
            entries.push((path.to_owned(), std::fs::symlink_metadata(host).ok()));
            false
        }
    };
    entries.retain(|(name, _)| options.all || !is_folder || !name.starts_with('.'));
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut text = String::new();
    if options.long && is_folder {
        let blocks: u64 = entries.iter().filter_map(|(_, metadata)| metadata.as_ref()).map(MetadataExt::blocks).sum();
        text.push_str(&format!("total {}\n", blocks / 2));
    }
    let sizes: Vec<String> = entries.iter().map(|(_, metadata)| size(metadata.as_ref(), options)).collect();
    let width = sizes.iter().map(String::len).max().unwrap_or(0);
    for ((name, metadata), size) in entries.iter().zip(sizes) {
        let folder = metadata.as_ref().is_none_or(Metadata::is_dir);
        if options.long {
            text.push_str(&format!(
                "{} root root {size:>width$} {} ",
                mode(metadata.as_ref()),
                time(metadata.as_ref())
            ));
        }
        let shown = if is_folder { name.as_str() } else { Path::new(name).to_str().unwrap_or(name) };
        text.push_str(shown);
        text.push_str(if options.marks && folder { "/\n" } else { "\n" });
    }
    Ok((is_folder, text))
}

fn mode(metadata: Option<&Metadata>) -> String {
    let (mode, links) = metadata.map_or((0o040_755, 2), |metadata| (metadata.mode(), metadata.nlink()));
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o120_000 => 'l',
        _ => '-',
    };
    let bits: String =
        (0..9).map(|bit| if mode & (0o400 >> bit) == 0 { '-' } else { ['r', 'w', 'x'][bit % 3] }).collect();
    format!("{kind}{bits} {links}")
}

fn size(metadata: Option<&Metadata>, options: Options) -> String {
    let size = metadata.map_or(4096, Metadata::len);
    if !options.human || size < 1024 {
        return size.to_string();
    }
    let (mut number, mut unit) = (size as f64, 0);
    while number >= 1024.0 && unit < 4 {
        number /= 1024.0;
        unit += 1;
    }
    let letter = ["", "K", "M", "G", "T"][unit];
    if number < 10.0 {
        format!("{:.1}{letter}", (number * 10.0).ceil() / 10.0)
    } else {
        format!("{:.0}{letter}", number.ceil())
    }
}

fn time(metadata: Option<&Metadata>) -> String {
    let modified = metadata.and_then(|metadata| metadata.modified().ok());
    let time = modified.and_then(|time| Timestamp::try_from(time).ok()).unwrap_or_else(Timestamp::now);
    time.strftime("%b %e %H:%M").to_string()
}
