//! What a part with a console and those who look at it share.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use tokio::sync::{Notify, watch};

use super::SESSIONS;

/// What is kept in memory for those who look: who is further behind loses
/// something.
pub(super) const RING: usize = 64 << 10;
/// So much that is not on disk is written without waiting for more.
const PRESSING: usize = 16 << 10;
/// So many changes of what is at the far end are kept for those who look: a
/// line that is closed for a moment only is news as well.
const CHANGES: usize = 16;
/// What was typed and has not been sent; who types more waits.
const TYPED: usize = 4 << 10;

/// Whether something is at the far end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attached {
    /// The line is open.
    Yes,
    /// It is opened when somebody looks.
    OnDemand,
    /// It is not, and why.
    No(Arc<str>),
}

/// Who looks at the console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// How many.
    pub viewers: usize,
    /// How many of them may type: who only looks takes the line from nobody.
    pub typists: usize,
    /// Grows when somebody insists.
    pub taken: u64,
}

/// Why something cannot be typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Nobody is at the far end.
    Detached(Arc<str>),
    /// The line does not carry this byte.
    Byte(u8),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Detached(why) => write!(f, "nothing was sent: {why}"),
            Self::Byte(7) => {
                f.write_str("^G was not sent: it closes this line's console")
            }
            Self::Byte(byte) => {
                write!(
                    f,
                    "the byte {byte:#04x} was not sent: the line does not carry it"
                )
            }
        }
    }
}

/// The line between a part and those who look at it. Cheap to clone; all
/// clones are one.
#[derive(Clone, Debug)]
pub struct Line(Arc<Shared>);

struct Shared {
    /// Bytes that must not be typed.
    forbidden: &'static [u8],
    state: Mutex<State>,
    /// Counts whatever those who look should hear of.
    news: watch::Sender<u64>,
    /// Told when there is something to be written to disk, and when much.
    dirty: Notify,
    pressing: Notify,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct State {
    ring: VecDeque<u8>,
    /// Bytes that have come so far, the last of which is the ring's last.
    end: u64,
    saved: u64,
    typed: VecDeque<u8>,
    attached: Attached,
    /// What `attached` became last, and how often it changed so far.
    changes: VecDeque<Attached>,
    changed: u64,
    want: Want,
}

impl State {
    fn begin(&self) -> u64 {
        self.end - self.ring.len() as u64
    }

    fn from(&self, position: u64) -> Vec<u8> {
        let skip = position.saturating_sub(self.begin());
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        self.ring.iter().skip(skip).copied().collect()
    }
}

impl Line {
    /// A line that never carries the bytes `forbidden`.
    #[must_use]
    pub fn new(forbidden: &'static [u8], attached: Attached) -> Self {
        // A position of before a restart means nothing.
        let end = u64::from(rand::random::<u32>()) << 16;
        let state = State {
            ring: VecDeque::new(),
            end,
            saved: end,
            typed: VecDeque::new(),
            attached,
            changes: VecDeque::new(),
            changed: 0,
            want: Want::default(),
        };
        Self(Arc::new(Shared {
            forbidden,
            state: Mutex::new(state),
            news: watch::Sender::new(0),
            dirty: Notify::new(),
            pressing: Notify::new(),
            wake: OnceLock::new(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is called when somebody comes, goes, insists or types. It is set
    /// once, by the part.
    pub fn on_wake(&self, wake: impl Fn() + Send + Sync + 'static) {
        let _ = self.0.wake.set(Box::new(wake));
    }

    fn wake(&self) {
        if let Some(wake) = self.0.wake.get() {
            wake();
        }
    }

    /// Who looks.
    #[must_use]
    pub fn want(&self) -> Want {
        self.lock().want
    }

    /// What came from the far end.
    pub fn feed(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut state = self.lock();
        state.ring.extend(bytes);
        state.end += bytes.len() as u64;
        let over = state.ring.len().saturating_sub(RING);
        state.ring.drain(..over);
        let unsaved = state.end - state.saved;
        drop(state);
        self.0.dirty.notify_one();
        if unsaved >= PRESSING as u64 {
            self.0.pressing.notify_one();
        }
        self.tell();
    }

    /// Whether nothing waits to be sent.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.lock().typed.is_empty()
    }

    /// Takes up to `most` bytes of what was typed.
    #[must_use]
    pub fn typed(&self, most: usize) -> Vec<u8> {
        let mut state = self.lock();
        let full = state.typed.len() >= TYPED;
        let count = state.typed.len().min(most);
        let bytes: Vec<u8> = state.typed.drain(..count).collect();
        drop(state);
        if full {
            self.tell();
        }
        bytes
    }

    /// Says whether something is at the far end. What was typed and not sent
    /// is dropped where nothing is: it was meant for what is gone.
    pub fn attach(&self, attached: Attached) {
        let mut state = self.lock();
        if state.attached == attached {
            return;
        }
        if attached != Attached::Yes {
            state.typed.clear();
        }
        state.attached = attached.clone();
        state.changes.push_back(attached);
        if state.changes.len() > CHANGES {
            state.changes.pop_front();
        }
        state.changed += 1;
        drop(state);
        self.tell();
    }

    /// Whether something is at the far end.
    #[must_use]
    pub fn attached(&self) -> Attached {
        self.lock().attached.clone()
    }

    /// Whether something is, and how often that changed so far.
    pub(super) fn state(&self) -> (Attached, u64) {
        let state = self.lock();
        (state.attached.clone(), state.changed)
    }

    /// What it became after it had changed `seen` times, the oldest first, and
    /// how often it has changed by now.
    pub(super) fn changes(&self, seen: u64) -> (Vec<Attached>, u64) {
        let state = self.lock();
        let new = usize::try_from(state.changed.saturating_sub(seen));
        let old = state.changes.len().saturating_sub(new.unwrap_or(CHANGES));
        (state.changes.iter().skip(old).cloned().collect(), state.changed)
    }

    /// Tells those who look that there is something new.
    pub(super) fn tell(&self) {
        self.0.news.send_modify(|count| *count += 1);
    }

    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.0.news.subscribe()
    }

    /// Waits until something is to be written to disk.
    pub(super) async fn dirty(&self) {
        self.0.dirty.notified().await;
    }

    /// Waits until much is.
    pub(super) async fn pressing(&self) {
        self.0.pressing.notified().await;
    }

    /// Takes a place, if fewer than `most` are taken; one who may type is a
    /// `typist`.
    pub(super) fn sit_down(&self, typist: bool, most: usize) -> bool {
        let mut state = self.lock();
        let want = &mut state.want;
        let only = want.viewers - want.typists;
        let taken = if typist { want.viewers } else { only };
        if taken >= most || want.viewers >= SESSIONS {
            return false;
        }
        want.viewers += 1;
        want.typists += usize::from(typist);
        drop(state);
        self.wake();
        true
    }

    /// Gives the place back.
    pub(super) fn stand_up(&self, typist: bool) {
        let mut state = self.lock();
        state.want.viewers -= 1;
        state.want.typists -= usize::from(typist);
        drop(state);
        self.wake();
    }

    /// One who might type may only look from here on.
    pub(super) fn demote(&self) {
        self.lock().want.typists -= 1;
        self.wake();
    }

    /// Insists that the part serves this console rather than another.
    pub(super) fn insist(&self) {
        self.lock().want.taken += 1;
        self.wake();
    }

    /// Types `bytes` as far as there is room, and says how far that was; who
    /// listens to the news hears when there is room again.
    ///
    /// # Errors
    /// Nothing more is sent, and why. What stands before a byte that is
    /// refused is.
    pub(super) fn type_in(&self, bytes: &[u8]) -> Result<usize, Refused> {
        let bad = bytes.iter().position(|it| self.0.forbidden.contains(it));
        let good = bytes.get(..bad.unwrap_or(bytes.len())).unwrap_or_default();
        let mut state = self.lock();
        match &state.attached {
            Attached::Yes => {}
            Attached::OnDemand => {
                let why = "the console is about to be opened";
                return Err(Refused::Detached(why.into()));
            }
            Attached::No(why) => {
                return Err(Refused::Detached(Arc::clone(why)));
            }
        }
        let count = (TYPED - state.typed.len()).min(good.len());
        state.typed.extend(good.iter().take(count));
        drop(state);
        self.wake();
        match bad.and_then(|bad| bytes.get(bad)) {
            Some(byte) if count == good.len() => Err(Refused::Byte(*byte)),
            _ => Ok(count),
        }
    }

    #[cfg(test)]
    fn end(&self) -> u64 {
        self.lock().end
    }

    /// Where one begins who wants the last `most` bytes, or to go on at
    /// `from` if that is still known.
    pub(super) fn start(&self, most: usize, from: Option<u64>) -> u64 {
        let state = self.lock();
        match from {
            Some(from) if (state.begin()..=state.end).contains(&from) => from,
            _ => state.begin().max(state.end.saturating_sub(most as u64)),
        }
    }

    /// What came after `position`, at most `most` bytes, and how many bytes
    /// before it are lost.
    pub(super) fn after(&self, position: u64, most: usize) -> (u64, Vec<u8>) {
        let state = self.lock();
        let lost = state.begin().saturating_sub(position);
        let mut bytes = state.from(position);
        bytes.truncate(most);
        (lost, bytes)
    }

    /// Puts what was kept before what comes.
    pub(super) fn prepend(&self, kept: &[u8]) {
        let mut state = self.lock();
        let room = RING.saturating_sub(state.ring.len());
        let skip = kept.len().saturating_sub(room);
        for byte in kept.iter().skip(skip).rev() {
            state.ring.push_front(*byte);
        }
        // Positions stay above zero: the part may have said something already.
        state.end += kept.len() as u64;
        state.saved += kept.len() as u64;
    }

    /// What is not on disk yet, and how much of that is gone already.
    pub(super) fn unsaved(&self) -> (u64, Vec<u8>) {
        let state = self.lock();
        (state.begin().saturating_sub(state.saved), state.from(state.saved))
    }

    /// So many bytes more are on disk, or were given up.
    pub(super) fn saved(&self, count: u64) {
        self.lock().saved += count;
    }
}

/// Feeds a line with pieces of `bytes`, whose lengths are among them, and looks
/// at it from anywhere.
#[cfg(any(test, fuzzing))]
pub(crate) fn look_back(bytes: &[u8]) {
    let line = Line::new(b"\x07", Attached::Yes);
    let begin = line.start(0, None);
    let (mut rest, mut fed) = (bytes, 0);
    while let Some((count, after)) = rest.split_first() {
        let count = usize::from(*count);
        let (piece, after) = after.split_at(after.len().min(count));
        let repeated = piece.repeat(count);
        line.feed(&repeated);
        fed += repeated.len();
        rest = after;
        let (kept, most) = (fed.min(RING), count * 300);
        let (lost, came) = line.after(begin, most);
        assert_eq!(lost, (fed - kept) as u64);
        assert_eq!(came.len(), kept.min(most));
        let tail = line.after(line.start(most, None), usize::MAX).1;
        assert_eq!(tail.len(), kept.min(most));
        let _ = line.type_in(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::LOOKERS, *};

    #[test]
    fn who_types_too_much_waits_until_it_was_sent() {
        let line = Line::new(&[7], Attached::Yes);
        let text = vec![b'x'; TYPED + 100];
        assert_eq!(line.type_in(&text), Ok(TYPED));
        assert_eq!(line.type_in(&text), Ok(0));
        let news = line.news();
        assert_eq!(line.typed(50).len(), 50);
        assert!(news.has_changed().unwrap(), "there is room again");
        assert_eq!(line.type_in(&text), Ok(50));
    }

    #[test]
    fn who_only_looks_leaves_places_for_who_types() {
        let line = Line::new(&[], Attached::Yes);
        let lookers = (0..).take_while(|_| line.sit_down(false, LOOKERS));
        assert_eq!(lookers.count(), LOOKERS);
        let typists = (0..).take_while(|_| line.sit_down(true, SESSIONS));
        assert_eq!(typists.count(), SESSIONS - LOOKERS);
        assert!(!line.sit_down(false, LOOKERS));
        let all = Want { viewers: SESSIONS, typists: 4, taken: 0 };
        assert_eq!(line.want(), all);
        line.demote();
        line.stand_up(false);
        line.stand_up(true);
        let left = Want { viewers: SESSIONS - 2, typists: 2, taken: 0 };
        assert_eq!(line.want(), left);
    }

    #[test]
    fn what_must_not_be_sent_is_refused_with_what_follows() {
        let line = Line::new(&[7], Attached::Yes);
        assert_eq!(line.type_in(b"ab\x07\\"), Err(Refused::Byte(7)));
        assert_eq!(line.typed(10), b"ab");
        line.type_in(b"reboot\r").unwrap();
        line.attach(Attached::No("the power is cut".into()));
        let refused = line.type_in(b"x").unwrap_err();
        assert_eq!(refused.to_string(), "nothing was sent: the power is cut");
        line.attach(Attached::Yes);
        assert_eq!(line.typed(10), b"", "it was meant for what is gone");
    }

    #[test]
    fn a_moment_without_a_far_end_is_news() {
        let line = Line::new(&[], Attached::Yes);
        let (state, seen) = line.state();
        assert_eq!((state, line.changes(seen)), (Attached::Yes, (vec![], 0)));
        let gone = Attached::No("power".into());
        for _ in 0..20 {
            line.attach(gone.clone());
            line.attach(Attached::Yes);
        }
        assert_eq!(line.changes(38).0, [gone, Attached::Yes]);
        assert_eq!(line.changes(39).0, [Attached::Yes]);
        let (all, now) = line.changes(seen);
        assert_eq!((all.len(), all.last()), (CHANGES, Some(&Attached::Yes)));
        assert_eq!(line.changes(now).0, []);
    }

    #[test]
    fn who_is_behind_is_told_how_much_is_lost() {
        let line = Line::new(&[], Attached::Yes);
        let begin = line.end();
        line.feed(&vec![b'a'; RING]);
        line.feed(b"end");
        let (lost, bytes) = line.after(begin, RING);
        assert_eq!((lost, bytes.len()), (3, RING));
        assert_eq!(line.after(line.end() - 3, 2), (0, b"en".to_vec()));
        assert_eq!(line.start(3, None), line.end() - 3);
        assert_eq!(line.start(3, Some(line.end() - 9)), line.end() - 9);
        assert_eq!(line.start(3, Some(begin)), line.end() - 3);
    }
}
