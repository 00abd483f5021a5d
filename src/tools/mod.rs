//! Other programs: how they are run, and everything that is assumed about what they print.
//!
//! [`Tool`] runs one program with duct, in a process group of its own, with a limit of time and a [`Trace`] that shows the
//! command, its output and what was read in it. One module a program ([`minikube`], [`istioctl`], [`kubectl`], [`docker`])
//! holds every assumption about that program's words, exit codes and JSON; all of them read leniently: what is not
//! understood is passed on as it is, never taken for something else. Called by the doctor's checks and by the providers.

pub mod docker;
pub mod istioctl;
pub mod kubectl;
pub mod minikube;
mod run;
mod trace;
mod version;

pub use run::{Call, Ran, Stream, Tool, ToolError, find};
pub use trace::{SharedWriter, Trace};
pub use version::{first_version, minor_of};
