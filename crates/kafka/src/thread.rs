//! Threads that others wait for.

use std::thread::{Builder, JoinHandle};

use crate::Error;

/// Starts a thread whose work nobody else would do. When it panics, the process ends: what waits for it would wait for
/// ever otherwise, in a part that says it is well. Whoever watches over the part starts it again, and Kafka has the rest.
///
/// # Errors
/// The system gives no thread.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<Thread, Error> {
    let thread = Builder::new().name(name.to_owned()).spawn(move || {
        let _watch = Watch;
        work();
    });
    thread.map(Thread).map_err(|error| Error::Setting {
        name: "threads".into(),
        reason: error.to_string(),
    })
}

/// A thread that was started. Dropping this lets it go on.
#[derive(Debug)]
pub struct Thread(JoinHandle<()>);

impl Thread {
    /// Waits for its end. Blocks.
    pub fn join(self) {
        // With a panic of the thread, this process would have ended.
        let _no_panic = self.0.join();
    }
}

struct Watch;

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let thread = std::thread::current();
            tracing::error!(
                thread = thread.name(),
                "a thread that others wait for has panicked"
            );
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    /// Set in the process that shall end.
    const PANICS: &str = "KAFKA_THREAD_PANICS";

    #[test]
    fn a_panic_ends_the_process() {
        if std::env::var_os(PANICS).is_some() {
            let thread = spawn("test", || panic!("on purpose")).expect("a thread");
            return thread.join();
        }
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "thread::tests::a_panic_ends_the_process"])
            .env(PANICS, "1")
            .output()
            .expect("it runs");
        assert_eq!(child.status.signal(), Some(6), "SIGABRT, not {child:?}");
    }
}
