//! How long inference takes on the networks of the lab.
//!
//! `cargo bench --bench inference` builds both networks with synthetic weights and prints a table; directories given after
//! `--` are measured instead. With `worker DIR` it answers each line `BATCH HEIGHT WIDTH` on standard input with the
//! milliseconds of one run, which is how `benches/inference_compare.py` alternates it with other runtimes.

use std::io::{BufRead as _, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use canary_lab::inference::{Session, SessionOptions, Tensor};
use canary_lab::models::network::Network;
use canary_lab::models::synthetic;

type Failure = Box<dyn std::error::Error>;

/// Batch, height and width of what is measured.
const SIZES: [[usize; 3]; 4] = [[1, 224, 224], [8, 224, 224], [1, 600, 512], [8, 600, 512]];
/// How long one size is measured at least.
const LONG_ENOUGH: Duration = Duration::from_secs(4);

struct Model {
    session: Session,
    input: String,
    output: String,
}

impl Model {
    fn load(dir: &Path) -> Result<Self, Failure> {
        let session = Session::load(dir, &SessionOptions { threads: 2 })?;
        let signature = session.signatures().get("serving_default").ok_or("no signature serving_default")?;
        let name = |info: Option<&canary_lab::savedmodel::proto::TensorInfo>| {
            info.and_then(|info| info.tensor_name()).map(str::to_owned).ok_or("the signature names no tensor")
        };
        let (input, output) = (name(signature.inputs.values().next())?, name(signature.outputs.values().next())?);
        Ok(Self { session, input, output })
    }

    /// Runs one batch of pictures and returns how long it took.
    fn time(&self, [batch, height, width]: [usize; 3]) -> Result<Duration, Failure> {
        let count = batch * height * width * 3;
        let pixels = (0..count).map(|index| (index * 7919 % 256) as f32).collect();
        let pictures = Tensor::floats(&[batch, height, width, 3], pixels).ok_or("the shape has other elements")?;
        let feeds = [(self.input.as_str(), pictures)];
        let start = Instant::now();
        std::hint::black_box(self.session.run(&feeds, &[&self.output])?);
        Ok(start.elapsed())
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Resident memory in MiB, now and at its highest, as Linux reports them.
fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        line.split_whitespace().next()?.parse::<usize>().ok().map(|kib| (kib / 1024).to_string())
    };
    let value = |field| of(field).unwrap_or_else(|| "?".to_owned());
    format!("{} MiB, at most {} MiB", value("VmRSS:"), value("VmHWM:"))
}

fn table(dir: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    let start = Instant::now();
    let model = Model::load(dir)?;
    let load = milliseconds(start.elapsed());
    let first = milliseconds(model.time(SIZES[0])?);
    writeln!(out, "{}: loaded in {load:.0} ms, first answer {first:.0} ms later, {}", dir.display(), resident())?;
    for size in SIZES {
        let (begin, mut times) = (Instant::now(), Vec::new());
        while begin.elapsed() < LONG_ENOUGH || times.len() < 5 {
            times.push(milliseconds(model.time(size)?));
        }
        times.sort_by(f64::total_cmp);
        let [batch, height, width] = size;
        let (median, best) = (times[times.len() / 2], times[0]);
        writeln!(out, "  {batch} x {height}x{width}: median {median:.1} ms, best {best:.1} ms of {}", times.len())?;
    }
    writeln!(out, "  afterwards {}", resident())?;
    Ok(())
}

fn worker(dir: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    let start = Instant::now();
    let model = Model::load(dir)?;
    model.time(SIZES[0])?;
    writeln!(out, "{}", milliseconds(start.elapsed()))?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let numbers: Vec<usize> = line?.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let size: [usize; 3] = numbers.try_into().map_err(|_| "a line is BATCH HEIGHT WIDTH")?;
        writeln!(out, "{}", milliseconds(model.time(size)?))?;
        out.flush()?;
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    // Cargo adds `--bench` to the arguments of every benchmark.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match &arguments[..] {
        [] => {
            for network in [Network::ResNet50, Network::ResNet101] {
                let dir = tempfile::tempdir()?;
                synthetic::build(network, dir.path(), &[], &mut |_| ())?;
                table(&dir.path().join("1"), &mut out)?;
            }
            Ok(())
        }
        [mode, dir] if mode == "worker" => worker(Path::new(dir), &mut out),
        dirs => dirs.iter().map(PathBuf::from).try_for_each(|dir| table(&dir, &mut out)),
    }
}
