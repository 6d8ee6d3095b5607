//! The live view of `top`: the whole terminal, given back when it ends.

use std::io;

use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};
use ratatui::{DefaultTerminal, Frame};

use super::keys::Key;
use super::picture::{Order, Picture, Sheet};

/// Rows of brokers that are shown; topics and groups share the rest.
const BROKERS_MAX: u16 = 6;

/// The terminal while it is ours.
pub struct View {
    terminal: DefaultTerminal,
    shown: Shown,
}

/// What is on it.
struct Shown {
    picture: Picture,
    order: Order,
    /// Rows of topics and groups that are above the first one shown.
    skipped: usize,
    complaint: Option<String>,
}

impl View {
    /// Takes the terminal. A panic gives it back too.
    ///
    /// # Errors
    /// When it is no terminal that can be drawn on.
    pub fn open(picture: Picture) -> io::Result<Self> {
        let terminal = ratatui::try_init()?;
        Ok(Self { terminal, shown: Shown { picture, order: Order::default(), skipped: 0, complaint: None } })
    }

    /// Takes a newer picture.
    pub fn show(&mut self, mut picture: Picture) {
        picture.sort(self.shown.order);
        (self.shown.picture, self.shown.complaint) = (picture, None);
    }

    /// Keeps the old picture and says why.
    pub fn complain(&mut self, why: &str) {
        self.shown.complaint = Some(why.to_owned());
    }

    pub fn press(&mut self, key: Key) {
        let shown = &mut self.shown;
        match key {
            Key::Up => shown.skipped = shown.skipped.saturating_sub(1),
            Key::Down => {
                let most = shown.picture.topics.len().max(shown.picture.groups.len()).saturating_sub(1);
                shown.skipped = (shown.skipped + 1).min(most);
            }
            Key::Order => {
                shown.order = shown.order.next();
                shown.picture.sort(shown.order);
            }
            Key::Quit | Key::Resized => {}
        }
    }

    /// Draws what is to be seen now.
    ///
    /// # Errors
    /// When the terminal cannot be written to.
    pub fn draw(&mut self) -> io::Result<()> {
        let shown = &self.shown;
        self.terminal.draw(|frame| draw(frame, shown)).map(drop)
    }
}

impl Drop for View {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn draw(frame: &mut Frame<'_>, shown: &Shown) {
    let brokers = u16::try_from(shown.picture.brokers.len()).unwrap_or(BROKERS_MAX).clamp(1, BROKERS_MAX) + 3;
    let parts = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(brokers),
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .split(frame.area());
    let [head, brokers, topics, groups, foot] = *parts else { return };
    let title = Span::styled("actormq top  ", Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD));
    frame.render_widget(Line::from(vec![title, Span::raw(shown.picture.summary())]), head);
    sheet(frame, brokers, "brokers", shown.picture.broker_sheet(), 0);
    sheet(frame, topics, "topics", shown.picture.topic_sheet(), shown.skipped);
    sheet(frame, groups, "groups", shown.picture.group_sheet(), shown.skipped);
    let line = match &shown.complaint {
        Some(why) => Line::styled(why.as_str(), Style::new().fg(Color::Red)),
        None => Line::styled(
            format!("q quits  s sorts (by {})  up and down scroll", shown.order.name()),
            Style::new().fg(Color::DarkGray),
        ),
    };
    frame.render_widget(Paragraph::new(line), foot);
}

fn sheet(frame: &mut Frame<'_>, area: Rect, title: &str, (columns, rows): Sheet, skipped: usize) {
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        let widest = cells.chain(columns.get(at).map(|name| name.len())).max().unwrap_or(0);
        Constraint::Length(u16::try_from(widest).unwrap_or(u16::MAX))
    };
    let widths: Vec<Constraint> = (0..columns.len()).map(width).collect();
    let title = format!(" {title} ({}) ", rows.len());
    let lag = columns.iter().position(|name| *name == "lag");
    let row = |cells: Vec<String>| {
        let cells = cells.into_iter().enumerate().map(|(at, cell)| {
            let behind = lag == Some(at) && cell != "0";
            let style = if behind { Style::new().fg(Color::Yellow) } else { Style::new() };
            Cell::from(cell).style(style)
        });
        Row::new(cells.collect::<Vec<_>>())
    };
    let head = Row::new(columns.to_vec()).style(Style::new().add_modifier(Modifier::BOLD));
    let table = Table::new(rows.into_iter().skip(skipped).map(row), widths)
        .header(head)
        .column_spacing(2)
        .block(Block::bordered().title(title));
    frame.render_widget(table, area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    #[test]
    fn everything_is_on_the_screen() {
        let picture = super::super::picture::tests::picture();
        let mut shown = Shown { picture, order: Order::default(), skipped: 0, complaint: None };
        let mut terminal = Terminal::new(TestBackend::new(100, 24)).unwrap();
        let mut text = |shown: &Shown| {
            terminal.draw(|frame| draw(frame, shown)).unwrap();
            terminal.backend().to_string()
        };
        let all = text(&shown);
        for wanted in ["brokers (1)", "127.0.0.1:10911", "orders", "1000", "billing", "q quits", "in 10.0/s"] {
            assert!(all.contains(wanted), "{wanted} in\n{all}");
        }
        (shown.skipped, shown.complaint) = (1, Some("no answer".into()));
        let rest = text(&shown);
        assert!(!rest.contains("1000") && rest.contains("no answer"), "{rest}");
    }
}
