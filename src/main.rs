//! The `canary-lab` command.

fn main() -> std::process::ExitCode {
    canary_lab::run(std::env::args_os(), canary_lab::ui::Io::of_this_process())
}
