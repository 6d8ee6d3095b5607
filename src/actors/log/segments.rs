//! Keeps space ready ahead of the writer.
//!
//! Owns: how far space is taken and populated, the making of segments. Lives on a thread of its own: the disk blocks.
//! Hears: [`Advance`] from the writer.
//! Tells: [`Prepared`] and [`SpaceFailed`] to the writer.
//!
//! Invariants: what is prepared is contiguous; the window ahead grows with the writer's rate, so an idle broker holds a
//! few MiB and a busy one never waits; a full disk is noticed a window before the writer gets there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use crate::protocol::names::LogOffset;
use crate::store::StoreError;
use crate::store::log_view::LogView;
use crate::store::segment::Segment;

/// Space that is ready ahead of a writer that does little.
const WINDOW_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// Space that is ready ahead of the fastest writer.
const WINDOW_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The window holds what the writer writes in this time.
const WINDOW_TIME: Duration = Duration::from_millis(500);
/// Space is taken in steps of this size: the writer can go on after each.
const STEP_BYTES: u64 = 4 * 1024 * 1024;
/// Steps end at multiples of this size, which the kernel may keep as one page.
const LARGE_PAGE_BYTES: u64 = 2 * 1024 * 1024;
/// How long to wait before asking a full disk again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// From the writer: this is how far it came.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct Advance {
    pub written: LogOffset,
    /// Bytes behind `written` without which an append cannot go on; 0 when none waits.
    pub needed: u64,
}

/// To the writer: it may write up to `upto`; `segment` where that reaches into a new one.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Prepared {
    pub upto: LogOffset,
    pub segment: Option<Arc<Segment>>,
}

/// To the writer: there will be no more space for now.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct SpaceFailed {
    pub error: String,
}

/// The keeper of the log's space. See the module.
pub struct Segments {
    dir: PathBuf,
    segment_bytes: u64,
    newest: Arc<Segment>,
    prepared: LogOffset,
    written: LogOffset,
    advanced_at: Instant,
    window: u64,
    /// What the writer waits for, which may be more than the window.
    needed: u64,
    failed: bool,
    large_pages: bool,
    writer: (Recipient<Prepared>, Recipient<SpaceFailed>),
}

/// Where the log's files are made, and how.
#[derive(Debug, Clone)]
pub struct Making {
    pub dir: PathBuf,
    pub segment_bytes: u64,
    /// See [`Segment::prefer_large_pages`].
    pub large_pages: bool,
}

impl Segments {
    /// Space behind `end`, which lies in the newest segment of `view`; `None` when it does not.
    #[must_use]
    pub fn new(
        view: &LogView,
        making: Making,
        end: LogOffset,
        writer: (Recipient<Prepared>, Recipient<SpaceFailed>),
    ) -> Option<Self> {
        let Making { dir, segment_bytes, large_pages } = making;
        let newest = view.segment(end)?;
        if large_pages {
            newest.prefer_large_pages();
        }
        Some(Self {
            dir,
            segment_bytes,
            large_pages,
            newest,
            prepared: end,
            written: end,
            advanced_at: Instant::now(),
            window: WINDOW_BYTES_MIN,
            needed: 0,
            failed: false,
            writer,
        })
    }

    fn adapt(&mut self, written: LogOffset) {
        let passed = self.advanced_at.elapsed().max(Duration::from_millis(1));
        let progress = written.saturating_sub(self.written);
        if progress > 0 {
            let rate = progress as f64 / passed.as_secs_f64();
            let wanted = (rate * WINDOW_TIME.as_secs_f64()) as u64;
            self.window = wanted.clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX);
            self.written = written;
            self.advanced_at = Instant::now();
        }
    }

    fn prepare(&mut self, ctx: &mut Context<Self>) {
        while self.prepared < self.written + self.window.max(self.needed) {
            match self.step() {
                Ok(segment) => {
                    if std::mem::take(&mut self.failed) {
                        tracing::info!("there is space for the log again");
                    }
                    self.writer.0.do_send(Prepared { upto: self.prepared, segment });
                }
                Err(error) => {
                    self.fail(error, ctx);
                    return;
                }
            }
        }
    }

    fn step(&mut self) -> Result<Option<Arc<Segment>>, StoreError> {
        let mut made = None;
        if self.prepared == self.newest.end() {
            let segment = Segment::create(&self.dir, self.prepared, self.segment_bytes)?;
            let segment = Arc::new(segment.on(self.newest.disk()));
            if self.large_pages {
                segment.prefer_large_pages();
            }
            self.newest = segment.clone();
            made = Some(segment);
        }
        let from = self.prepared - self.newest.base();
        let to = ((from + STEP_BYTES) / LARGE_PAGE_BYTES * LARGE_PAGE_BYTES).min(self.segment_bytes);
        let done = self.newest.prepare(from as usize, to as usize);
        if done.is_err() && made.is_some() {
            // The writer has to hear of the new segment even if its first step has to be tried again.
            self.writer.0.do_send(Prepared { upto: self.prepared, segment: made.take() });
        }
        done?;
        self.prepared = self.newest.base() + to;
        Ok(made)
    }

    /// Whether the writer waits, or soon will.
    fn is_short(&self) -> bool {
        self.prepared < self.written + STEP_BYTES.max(self.needed)
    }

    fn fail(&mut self, error: StoreError, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.failed, true) {
            tracing::error!(%error, "no space for the log; sends are refused from the end of the window on");
        }
        if self.is_short() {
            self.writer.1.do_send(SpaceFailed { error: error.to_string() });
        }
        ctx.run_later(RETRY_DELAY, |segments, ctx| segments.prepare(ctx));
    }
}

impl Actor for Segments {
    type Context = Context<Self>;
}

impl Handler<Advance> for Segments {
    type Result = ();

    fn handle(&mut self, advance: Advance, ctx: &mut Self::Context) {
        self.adapt(advance.written);
        self.needed = advance.needed;
        if !self.failed {
            self.prepare(ctx);
        } else if self.is_short() {
            self.writer.1.do_send(SpaceFailed { error: "the disk is full or fails".into() });
        }
    }
}
