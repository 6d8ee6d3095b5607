//! What a run tells: as a table for people, as one JSON object for programs.

use super::figures::Figures;
use super::key_sample::KeysFound;
use super::tally::Tally;
use super::timing::Window;
use super::usage::{Memory, Watch};
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;

/// A finished measurement.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The subcommand.
    pub case: &'static str,
    #[serde(flatten)]
    pub setting: Setting,
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What this case alone tells.
    pub figures: Figures,
    /// Unique keys queried after a run of sends.
    pub keys: Option<KeysFound>,
    /// What the server's process used, where its pid was given.
    pub server: Option<ServerUsage>,
    pub generator: GeneratorUsage,
    pub parked: Option<Parked>,
}

/// What was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Setting {
    pub broker: String,
    pub topic: String,
    pub codec: String,
    pub queues: u32,
    pub connections: u32,
    /// Requests under way per connection.
    pub in_flight: u32,
    /// Bytes of a message body.
    pub body: u32,
    /// Messages in a send; for pulls, the most that one asks for.
    pub batch: u32,
    /// Messages a second; 0: as fast as possible.
    pub rate: u64,
    pub threads: u32,
    pub warmup_s: f64,
    pub duration_s: f64,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Messages in the measured window.
    pub messages: u64,
    pub messages_per_s: f64,
    /// Of message bodies.
    pub mib_per_s: f64,
    pub requests: u64,
    /// Request to answer; for e2e from when the send was due to when the message was received.
    pub latency_us: Latency,
    /// For e2e: from when the send was due to its answer.
    pub send_latency_us: Option<Latency>,
    /// Refused requests of the whole run by response code.
    pub refused: BTreeMap<i32, u64>,
    pub first_refusal: Option<String>,
    /// Requests that were never answered; for e2e also messages that never came.
    pub unanswered: u64,
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
    pub mean: f64,
}

/// CPU time and memory of the server.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ServerUsage {
    pub pid: u32,
    /// User and system time over the window, for each message in it.
    pub cpu_us_per_message: f64,
    /// 1.0: one core, all the time.
    pub cpu_cores: f64,
    pub memory_end: Memory,
    pub memory_end_kib: u64,
    pub memory_peak_kib: u64,
}

/// CPU time of the generator itself.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct GeneratorUsage {
    pub cpu_us_per_message: f64,
    pub cpu_cores: f64,
}

/// What connections with a parked pull cost the server.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Parked {
    pub connections: u32,
    /// Server memory before the first of them was opened, where its pid was given.
    pub memory_before_kib: Option<u64>,
    /// With all of them parked and no load.
    pub memory_after_kib: Option<u64>,
    pub kib_each: Option<f64>,
    /// Pulls that the server did not hold.
    pub not_held: u64,
}

impl Latency {
    pub fn of(histogram: &Histogram<u64>) -> Latency {
        let at = |quantile| micros(histogram.value_at_quantile(quantile) as f64);
        Latency {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: micros(histogram.max() as f64),
            mean: micros(histogram.mean()),
        }
    }

    fn line(&self) -> String {
        let values = [self.p50, self.p90, self.p99, self.p999, self.max];
        let texts = values.map(|value| format!("{value:.1}"));
        texts.join(" / ")
    }
}

fn micros(nanos: f64) -> f64 {
    (nanos / 10.0).round() / 100.0
}

impl Outcome {
    pub fn of(tally: &Tally, window: Window, unanswered: u64) -> Outcome {
        let seconds = window.seconds();
        Outcome {
            messages: tally.messages,
            messages_per_s: tally.messages as f64 / seconds,
            mib_per_s: tally.body_bytes as f64 / seconds / (1024.0 * 1024.0),
            requests: tally.requests,
            latency_us: Latency::of(&tally.latency),
            send_latency_us: None,
            refused: tally.refused.clone(),
            first_refusal: tally.first_refusal.clone(),
            unanswered,
        }
    }
}

impl ServerUsage {
    /// What `watch` saw over `messages` messages in `seconds`; nothing where it watched no server.
    pub fn of(watch: &Watch, messages: u64, seconds: f64) -> Option<ServerUsage> {
        let pid = watch.pid?;
        let cpu_us = watch.server_cpu.as_secs_f64() * 1e6;
        Some(ServerUsage {
            pid,
            cpu_us_per_message: cpu_us / messages.max(1) as f64,
            cpu_cores: watch.server_cpu.as_secs_f64() / seconds,
            memory_end: watch.memory_end,
            memory_end_kib: watch.memory_end.total_kib(),
            memory_peak_kib: watch.memory_peak.total_kib(),
        })
    }
}

impl GeneratorUsage {
    pub fn of(watch: &Watch, messages: u64, seconds: f64) -> GeneratorUsage {
        let cpu_us = watch.own_cpu.as_secs_f64() * 1e6;
        GeneratorUsage {
            cpu_us_per_message: cpu_us / messages.max(1) as f64,
            cpu_cores: watch.own_cpu.as_secs_f64() / seconds,
        }
    }
}

impl Report {
    /// One line of text that says why the run did not go well, if so.
    pub fn complaint(&self) -> Option<String> {
        if let Some(first) = &self.outcome.first_refusal {
            let count: u64 = self.outcome.refused.values().sum();
            return Some(format!("the broker refused {count} requests; the first with {first}"));
        }
        let unanswered = self.outcome.unanswered;
        (unanswered > 0).then(|| format!("{unanswered} requests or messages never came back"))
    }

    /// A table of all that was measured.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        table.set_header(["measure", "value"]);
        let mut row = |name: &str, value: String| {
            table.add_row([name.to_owned(), value]);
        };
        row("case", self.case_line());
        let outcome = &self.outcome;
        row("messages/s", format!("{:.0}", outcome.messages_per_s));
        row("MiB/s of bodies", format!("{:.1}", outcome.mib_per_s));
        row("messages", outcome.messages.to_string());
        row("latency µs p50 / p90 / p99 / p99.9 / max", outcome.latency_us.line());
        if let Some(latency) = outcome.send_latency_us {
            row("of sends alone", latency.line());
        }
        for figure in &self.figures.0 {
            row(figure.label, figure.text());
        }
        for (code, count) in &outcome.refused {
            row(&format!("refused with code {code}"), count.to_string());
        }
        if outcome.unanswered > 0 {
            row("never came back", outcome.unanswered.to_string());
        }
        if let Some(keys) = &self.keys {
            let note = keys.note.map_or(String::new(), |note| format!(" ({note})"));
            row("keys found", format!("{} of {}{note}", keys.found, keys.asked));
        }
        for (name, value) in self.usage_rows() {
            row(name, value);
        }
        table
    }

    fn case_line(&self) -> String {
        let setting = &self.setting;
        let pace = match setting.rate {
            0 => "as fast as answers come".to_owned(),
            rate => format!("{rate} a second"),
        };
        format!(
            "{} {} B, {} × {}, batch {}, {} headers, {} queues, {pace}",
            self.case,
            setting.body,
            setting.connections,
            setting.in_flight,
            setting.batch,
            setting.codec,
            setting.queues,
        )
    }

    fn usage_rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        if let Some(server) = &self.server {
            let cpu = format!("{:.3} ({:.2} cores)", server.cpu_us_per_message, server.cpu_cores);
            rows.push(("server CPU µs per message", cpu));
            let memory = server.memory_end;
            rows.push((
                "server memory MiB: anonymous + shared + page tables",
                format!(
                    "{:.1} (peak {:.1}) = {:.1} + {:.1} + {:.1}",
                    mib(server.memory_end_kib),
                    mib(server.memory_peak_kib),
                    mib(memory.rss_anon_kib),
                    mib(memory.rss_shmem_kib),
                    mib(memory.vm_pte_kib),
                ),
            ));
        }
        let own = &self.generator;
        let cpu = format!("{:.3} ({:.2} cores)", own.cpu_us_per_message, own.cpu_cores);
        rows.push(("generator CPU µs per message", cpu));
        if let Some(parked) = &self.parked {
            let each = parked.kib_each.map_or(String::new(), |kib| format!(", {kib:.1} KiB each"));
            let not_held = match parked.not_held {
                0 => String::new(),
                count => format!(", {count} not held"),
            };
            rows.push(("parked pulls", format!("{}{each}{not_held}", parked.connections)));
        }
        rows
    }
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
