//! Counters for `/metrics`, in Prometheus' text form. No label names a user, a document or a collection.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use cloister_appliance::{ModelState, Status};

#[derive(Default)]
pub(crate) struct Metrics {
    in_flight: AtomicI64,
    requests: Mutex<BTreeMap<(String, u16), Served>>,
    uploads: Mutex<BTreeMap<String, u64>>,
    upload_bytes: AtomicU64,
    questions: Mutex<BTreeMap<String, u64>>,
}

#[derive(Default)]
struct Served {
    count: u64,
    seconds: f64,
}

/// Counts a request as under way while it lives.
pub(crate) struct InFlight<'a>(&'a Metrics);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    pub(crate) fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }

    /// Counts a request; `method` is one of the known ones.
    pub(crate) fn served(&self, method: &str, status: u16, took: Duration) {
        let mut requests = lock(&self.requests);
        let entry = requests.entry((method.to_owned(), status)).or_default();
        entry.count += 1;
        entry.seconds += took.as_secs_f64();
    }

    pub(crate) fn uploaded(&self, status: &str) {
        *lock(&self.uploads).entry(status.to_owned()).or_default() += 1;
    }

    pub(crate) fn upload_bytes(&self, bytes: u64) {
        self.upload_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a question by its state, or `failed` or `cancelled`.
    pub(crate) fn asked(&self, state: &str) {
        *lock(&self.questions).entry(state.to_owned()).or_default() += 1;
    }

    /// Everything as text.
    pub(crate) fn render(&self, status: Option<&Status>) -> String {
        let mut page = Page(String::new());
        page.family("cloister_build_info", "gauge", "The program's version.");
        page.sample("cloister_build_info", &[("version", crate::VERSION)], 1.0);
        page.family("cloister_http_requests_in_flight", "gauge", "Requests under way.");
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        page.sample("cloister_http_requests_in_flight", &[], in_flight as f64);
        self.render_requests(&mut page);
        let uploads = lock(&self.uploads);
        page.counters("cloister_uploads_total", "Files that were uploaded.", "status", &uploads);
        page.family("cloister_upload_bytes_total", "counter", "Bytes that were uploaded.");
        page.sample("cloister_upload_bytes_total", &[], self.upload_bytes.load(Ordering::Relaxed) as f64);
        let questions = lock(&self.questions);
        page.counters("cloister_questions_total", "Questions by how they ended.", "state", &questions);
        if let Some(status) = status {
            page.status(status);
        }
        page.0
    }

    fn render_requests(&self, page: &mut Page) {
        let requests = lock(&self.requests);
        let label = |code: &u16| code.to_string();
        page.family("cloister_http_requests_total", "counter", "Requests answered.");
        for ((method, code), served) in requests.iter() {
            let labels = [("method", method.as_str()), ("code", &label(code))];
            page.sample("cloister_http_requests_total", &labels, served.count as f64);
        }
        page.family("cloister_http_request_duration_seconds_sum", "counter", "Time to the head of the answer.");
        for ((method, code), served) in requests.iter() {
            let labels = [("method", method.as_str()), ("code", &label(code))];
            page.sample("cloister_http_request_duration_seconds_sum", &labels, served.seconds);
        }
    }
}

/// A poisoned counter is still a counter.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// Label values here are words of our own, which need no escaping.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn counters(&mut self, name: &str, help: &str, label: &str, counts: &BTreeMap<String, u64>) {
        self.family(name, "counter", help);
        for (value, count) in counts {
            self.sample(name, &[(label, value)], *count as f64);
        }
    }

    fn status(&mut self, status: &Status) {
        let gauges = [
            ("cloister_documents", "Documents.", Some(status.documents)),
            ("cloister_passages", "Passages in the index.", Some(status.passages)),
            ("cloister_collections", "Collections.", Some(status.collections)),
            ("cloister_index_edition", "Edition of the index.", Some(status.edition)),
            ("cloister_disk_free_bytes", "Free bytes on the disk of the data directory.", status.disk_free_bytes),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                self.family(name, "gauge", help);
                self.sample(name, &[], value as f64);
            }
        }
        self.family("cloister_model_ready", "gauge", "Whether the model is loaded or can be.");
        for (role, model) in [("generate", &status.generator), ("embed", &status.embedder)] {
            let ready = !matches!(model.state, ModelState::Missing | ModelState::Failed);
            self.sample("cloister_model_ready", &[("role", role)], f64::from(u8::from(ready)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_up() {
        let metrics = Metrics::default();
        metrics.served("GET", 200, Duration::from_millis(500));
        metrics.served("GET", 200, Duration::from_millis(250));
        metrics.uploaded("queued");
        metrics.asked("answered");
        let _running = metrics.begin();
        let text = metrics.render(None);
        for line in [
            "cloister_http_requests_total{method=\"GET\",code=\"200\"} 2",
            "cloister_http_request_duration_seconds_sum{method=\"GET\",code=\"200\"} 0.75",
            "cloister_uploads_total{status=\"queued\"} 1",
            "cloister_questions_total{state=\"answered\"} 1",
            "cloister_http_requests_in_flight 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
        }
    }
}
