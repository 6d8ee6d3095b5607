//! How one counter grew within a minute, an hour and a day, as RocketMQ keeps it.

use std::collections::VecDeque;

use tokio::time::Instant;

/// Samples of a minute: one each ten seconds; of an hour: one each ten minutes; of a day: one each hour.
const MINUTE_SAMPLES: usize = 7;
const HOUR_SAMPLES: usize = 7;
const DAY_SAMPLES: usize = 25;
/// Samples of the minute between two of the hour, and of the day.
const MINUTE_TO_HOUR: u64 = 60;
const MINUTE_TO_DAY: u64 = 360;

/// How a counter grew over one stretch of time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figure {
    pub sum: u64,
    /// `sum` a second.
    pub rate: f64,
    /// `sum` by each thing that was counted.
    pub average: f64,
}

/// How a counter grew lately.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spans {
    pub minute: Figure,
    pub hour: Figure,
    pub day: Figure,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    value: u64,
    times: u64,
}

/// Samples of one counter.
#[derive(Debug, Default)]
pub(super) struct Series {
    minute: VecDeque<Sample>,
    hour: VecDeque<Sample>,
    day: VecDeque<Sample>,
    taken: u64,
}

impl Series {
    /// Takes a sample, to be called each ten seconds: `times` things had `value` together.
    pub(super) fn take(&mut self, at: Instant, value: u64, times: u64) {
        let sample = Sample { at, value, times };
        keep(&mut self.minute, sample, MINUTE_SAMPLES);
        if self.taken.is_multiple_of(MINUTE_TO_HOUR) {
            keep(&mut self.hour, sample, HOUR_SAMPLES);
        }
        if self.taken.is_multiple_of(MINUTE_TO_DAY) {
            keep(&mut self.day, sample, DAY_SAMPLES);
        }
        self.taken += 1;
    }

    pub(super) fn spans(&self) -> Spans {
        Spans { minute: grown(&self.minute), hour: grown(&self.hour), day: grown(&self.day) }
    }
}

fn keep(samples: &mut VecDeque<Sample>, sample: Sample, count_max: usize) {
    samples.push_back(sample);
    if samples.len() > count_max {
        samples.pop_front();
    }
}

fn grown(samples: &VecDeque<Sample>) -> Figure {
    let (Some(first), Some(last)) = (samples.front(), samples.back()) else {
        return Figure::default();
    };
    let sum = last.value.saturating_sub(first.value);
    let times = last.times.saturating_sub(first.times);
    let seconds = last.at.duration_since(first.at).as_secs_f64();
    Figure {
        sum,
        rate: if seconds > 0.0 { sum as f64 / seconds } else { 0.0 },
        average: if times > 0 { sum as f64 / times as f64 } else { 0.0 },
    }
}
