//! Progress: what does a person see while long work runs, and how does he stop it?
//!
//! A bar on a terminal, nothing in a pipe. The first Ctrl-C asks the work to stop at a safe point;
//! the second ends the program at once, which a case survives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use directive::progress::Progress;
use directive::verdict::Exit;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Whether the person asked to stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens to Ctrl-C and to a request to terminate.
    pub(crate) fn listen() -> Self {
        let stop = Self::default();
        let flag = Arc::clone(&stop.0);
        // If a handler cannot be set, Ctrl-C ends the program at once, which a case survives.
        let _ = ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::SeqCst) {
                end();
            }
        });
        stop
    }

    /// Whether it was asked.
    pub(crate) fn is_requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Ends the program at once: nobody waits for a slow disk at three in the morning.
#[expect(clippy::disallowed_methods, reason = "a signal handler has no main to return to")]
fn end() {
    std::process::exit(i32::from(Exit::Inconclusive.code()));
}

/// A bar on stderr.
#[derive(Debug)]
pub(crate) struct Bar {
    bar: ProgressBar,
    stop: Stop,
}

impl Bar {
    /// A bar that says what is done; hidden in a pipe and when nobody wants to see it.
    pub(crate) fn new(stop: &Stop, shown: bool) -> Self {
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        Self { bar, stop: stop.clone() }
    }

    /// Begins a piece of work.
    pub(crate) fn begin(&self, what: &str) {
        self.bar.reset();
        self.bar.set_length(0);
        // The template is a constant that parses.
        if let Ok(style) = ProgressStyle::with_template("{msg} {pos}/{len} {wide_bar} {elapsed}") {
            self.bar.set_style(style);
        }
        self.bar.set_message(what.to_owned());
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        self.bar.disable_steady_tick();
        self.bar.finish_and_clear();
    }
}

impl Progress for Bar {
    fn expect(&self, total: u64) {
        self.bar.set_length(total);
    }

    fn advance(&self, units: u64, _bytes: u64) {
        self.bar.inc(units);
    }

    fn stop_requested(&self) -> bool {
        self.stop.is_requested()
    }
}
