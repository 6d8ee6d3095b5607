//! The live view of the demo: a few lines of the terminal that are drawn over, and stay when it ends.

use std::io::{self, Stdout, Write as _};

use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Gauge, Paragraph};
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};

use super::play::{Performer, Scene, queue_list};

/// Lines of the view.
const HEIGHT: u16 = 15;

/// The part of the terminal that is drawn on.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes its lines below the cursor.
    ///
    /// # Errors
    /// When the terminal does not tell where its cursor is.
    pub fn open() -> io::Result<Self> {
        let options = TerminalOptions { viewport: Viewport::Inline(HEIGHT) };
        Ok(Self { terminal: Terminal::with_options(CrosstermBackend::new(io::stdout()), options)? })
    }

    /// Draws what is to be seen now.
    ///
    /// # Errors
    /// When the terminal cannot be written to.
    pub fn draw(&mut self, scene: &Scene) -> io::Result<()> {
        self.terminal.draw(|frame| draw(frame, frame.area(), scene)).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The cursor goes below the picture, which stays.
        let last = self.terminal.get_frame().area().bottom().saturating_sub(1);
        let _ = self.terminal.set_cursor_position((0, last));
        let _ = self.terminal.show_cursor();
        let _ = writeln!(io::stdout());
    }
}

fn draw(frame: &mut Frame<'_>, area: Rect, scene: &Scene) {
    let parts = Layout::vertical([Constraint::Length(6), Constraint::Length(8), Constraint::Length(1)]).split(area);
    let [top, news, progress] = *parts else { return };
    let columns =
        Layout::horizontal([Constraint::Ratio(1, 4), Constraint::Ratio(1, 4), Constraint::Ratio(1, 2)]).split(top);
    let [producer, broker, consumers] = *columns else { return };
    frame.render_widget(
        boxed("producer", vec![Line::from("sends to topic demo"), Line::from(""), number("sent", scene.sent)], true),
        producer,
    );
    let received: u64 = scene.performers.iter().map(|performer| performer.received).sum();
    let under_way = scene.sent.saturating_sub(received);
    frame.render_widget(
        boxed("broker", vec![Line::from("stores 4 queues"), Line::from(""), number("to go", under_way)], true),
        broker,
    );
    let halves = Layout::horizontal([Constraint::Ratio(1, 2), Constraint::Ratio(1, 2)]).split(consumers);
    for (performer, area) in scene.performers.iter().zip(halves.iter()) {
        frame.render_widget(consumer(performer), *area);
    }
    let lines: Vec<Line<'_>> = scene.news.iter().map(|text| Line::from(text.as_str())).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" what happens ")), news);
    let done = scene.elapsed().as_secs_f64() / scene.length.as_secs_f64().max(f64::EPSILON);
    let label = format!("{:.0} of {:.0} s", scene.elapsed().as_secs_f64(), scene.length.as_secs_f64());
    let gauge = Gauge::default().ratio(done.clamp(0.0, 1.0)).label(label).gauge_style(Style::new().fg(Color::Cyan));
    frame.render_widget(gauge, progress);
}

fn consumer(performer: &Performer) -> Paragraph<'_> {
    if !performer.present {
        let state = if performer.received == 0 { "not there yet" } else { "has left" };
        return boxed(
            performer.name,
            vec![Line::from(state), Line::from(""), number("received", performer.received)],
            false,
        );
    }
    let last = performer.last.map_or_else(String::new, |number| format!("message {number}"));
    let lines = vec![
        Line::from(Span::styled(queue_list(&performer.queues), Style::new().fg(Color::Yellow))),
        Line::from(last),
        number("received", performer.received),
    ];
    boxed(performer.name, lines, true)
}

fn number(name: &str, count: u64) -> Line<'static> {
    Line::from(vec![
        Span::styled(count.to_string(), Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(format!(" {name}")),
    ])
}

fn boxed<'a>(title: &str, lines: Vec<Line<'a>>, lit: bool) -> Paragraph<'a> {
    let style = if lit { Style::new().fg(Color::Green) } else { Style::new().fg(Color::DarkGray) };
    Paragraph::new(lines).block(Block::bordered().title(format!(" {title} ")).border_style(style))
}

#[cfg(test)]
mod tests {
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::cli::demo::play::Scene;

    #[test]
    fn the_picture_shows_who_reads_what() {
        let scene = Scene::of_a_test();
        let mut terminal = Terminal::new(TestBackend::new(100, HEIGHT)).unwrap();
        terminal.draw(|frame| draw(frame, frame.area(), &scene)).unwrap();
        let text = terminal.backend().to_string();
        for wanted in ["7 sent", "2 to go", "(queues 0 1)", "message 6", "5 received", "not there yet", "joins"] {
            assert!(text.contains(wanted), "{wanted} in\n{text}");
        }
    }
}
