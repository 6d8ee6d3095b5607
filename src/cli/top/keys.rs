//! What is pressed.

use std::thread;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;

/// How soon the thread that listens notices that nobody wants to know any more.
const POLL: Duration = Duration::from_millis(100);
/// Keys that wait; faster typists lose some.
const WAITING_MAX: usize = 64;

/// A key that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Quit,
    Up,
    Down,
    /// The next order of the rows.
    Order,
    /// Other lines than before fit the terminal.
    Resized,
}

/// The keys as they come. A terminal can only be waited for by a thread.
pub struct Keys(mpsc::Receiver<Key>);

impl Keys {
    pub fn hear() -> Self {
        let (pressed, hears) = mpsc::channel(WAITING_MAX);
        thread::spawn(move || {
            while !pressed.is_closed() {
                match event::poll(POLL) {
                    Ok(false) => {}
                    Ok(true) => {
                        if let Some(key) = event::read().ok().and_then(|event| meaning(&event)) {
                            // Too many at once: some are lost.
                            let _ = pressed.try_send(key);
                        }
                    }
                    // Without a terminal nobody can press a key: the end of the channel says so.
                    Err(_) => return,
                }
            }
        });
        Self(hears)
    }

    /// The next key; `None` when there will be none.
    pub async fn next(&mut self) -> Option<Key> {
        self.0.recv().await
    }
}

fn meaning(event: &Event) -> Option<Key> {
    let key = match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        Event::Resize(..) => return Some(Key::Resized),
        _ => return None,
    };
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Quit),
        KeyCode::Char('q') | KeyCode::Esc => Some(Key::Quit),
        KeyCode::Up | KeyCode::Char('k') => Some(Key::Up),
        KeyCode::Down | KeyCode::Char('j') => Some(Key::Down),
        KeyCode::Char('s') => Some(Key::Order),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn keys_mean_something() {
        let press = |code, modifiers| meaning(&Event::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(press(KeyCode::Char('q'), KeyModifiers::NONE), Some(Key::Quit));
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Quit));
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::NONE), None);
        assert_eq!(press(KeyCode::Char('s'), KeyModifiers::NONE), Some(Key::Order));
        assert_eq!(meaning(&Event::Resize(1, 1)), Some(Key::Resized));
    }
}
