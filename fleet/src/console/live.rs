//! Pages that change while somebody looks.
//!
//! A page that is watched is made again every second, once for all who watch
//! it, and only what changed of it goes out. Nobody watching, nothing is done.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dropshot::Body;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::Console;
use super::chart::POINTS;
use super::error::Refusal;
use super::made::{Made, Outcome};
use super::table::History;
use super::visit::Visit;

/// How often a watched page is made again.
const EVERY: Duration = Duration::from_secs(1);
/// How often a silent stream says that it is alive.
const BREATH: Duration = Duration::from_secs(15);
/// How many different pages are watched at most.
const TOPICS: usize = 512;
/// How long a page's readings are kept after the last one has left, so that a
/// reload keeps its charts.
const LINGER: u32 = 10;

/// The parts of a page, by their ids.
type Parts = Arc<Vec<(&'static str, String)>>;

/// All pages that are watched.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    topics: Mutex<HashMap<String, Arc<Topic>>>,
    histories: Mutex<HashMap<String, History>>,
}

/// A page that is watched.
#[derive(Debug)]
struct Topic {
    parts: watch::Sender<Parts>,
    /// The visits that the page is made for, each in its turn: so a session
    /// that has ended is noticed, and its watcher sent away.
    visits: Mutex<VecDeque<(u64, HeaderMap)>>,
    /// How many have come so far.
    count: AtomicU64,
}

impl Hub {
    /// The last readings of a page, if somebody watches it.
    pub(crate) fn history(&self, page: &str) -> Option<History> {
        lock(&self.histories).get(page).cloned()
    }

    fn record(&self, page: &str, made: &Made) {
        let mut histories = lock(&self.histories);
        let history = histories.entry(page.to_owned()).or_default();
        for (key, value) in &made.readings {
            let values = history.entry(key.clone()).or_default();
            if values.len() == POINTS {
                values.pop_front();
            }
            values.push_back(*value);
        }
    }
}

impl Topic {
    fn join(self: &Arc<Self>, headers: HeaderMap) -> Watcher {
        let id = self.count.fetch_add(1, Ordering::Relaxed);
        lock(&self.visits).push_back((id, headers));
        Watcher { topic: Arc::clone(self), id }
    }

    fn next(&self) -> Option<(u64, HeaderMap)> {
        let mut visits = lock(&self.visits);
        let visit = visits.pop_front()?;
        visits.push_back(visit.clone());
        Some(visit)
    }

    fn part(&self, id: u64) {
        lock(&self.visits).retain(|(own, _)| *own != id);
    }
}

/// One who watches a page; leaves it when dropped.
struct Watcher {
    topic: Arc<Topic>,
    id: u64,
}

impl Watcher {
    /// The session is still good, as far as is known.
    fn is_welcome(&self) -> bool {
        lock(&self.topic.visits).iter().any(|(id, _)| *id == self.id)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.topic.part(self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Streams what changes of the page that the query names.
pub(crate) async fn stream(
    visit: &Visit<'_>,
    headers: &HeaderMap,
) -> Result<Outcome, Refusal> {
    let who = visit.api.get("/v1/whoami").await?;
    let page = visit.asked("page");
    let uri = canonical(visit.console, page)?;
    let key = key(&who, &uri);
    let mut own = HeaderMap::new();
    if let Some(cookie) = headers.get(header::COOKIE) {
        own.insert(header::COOKIE, cookie.clone());
    }
    let console = visit.console.clone();
    let topic = topic(&console, key, uri, visit)?;
    let watcher = topic.join(own);
    let last = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let (sender, receiver) = mpsc::channel(4);
    let stop = console.stopped().clone();
    console.tasks().spawn(async move {
        tokio::select! {
            () = push(&watcher, last, &sender) => {}
            () = stop.cancelled() => {}
        }
    });
    let frames = ReceiverStream::new(receiver).map(
        |text: String| -> Result<_, hyper::Error> {
            Ok(Frame::data(Bytes::from(text)))
        },
    );
    let mut answer = Response::new(Body::wrap(StreamBody::new(frames)));
    *answer.status_mut() = StatusCode::OK;
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(Outcome::Raw(answer))
}

/// The address of a page as its readings are known by, however it is spelt.
fn canonical(console: &Console, page: &str) -> Result<Uri, Refusal> {
    let none = HeaderMap::new();
    let unbound = ([127, 0, 0, 1], 0).into();
    let uri: Uri = page.parse().map_err(|_| Refusal::not_found())?;
    let visit = Visit::new(console, unbound, &Method::GET, &uri, &none, b"");
    visit.here().parse().map_err(|_| Refusal::not_found())
}

/// Who shares the watching of a page. What devices say is the same for all
/// of a role; the rest is each account's own. A credential may have a lesser
/// role than its account.
fn key(who: &Value, page: &Uri) -> String {
    let word = |name: &str| who.get(name).and_then(Value::as_str);
    let role = word("role").unwrap_or_default();
    let first = page.path().split('/').nth(1).unwrap_or_default();
    let account = match first {
        "" | "devices" => "",
        _ => word("account").unwrap_or_default(),
    };
    format!("{role} {account} {page}")
}

/// The topic of a page; its first watcher sets it going.
fn topic(
    console: &Console,
    key: String,
    uri: Uri,
    visit: &Visit<'_>,
) -> Result<Arc<Topic>, Refusal> {
    let mut topics = lock(&console.hub().topics);
    if let Some(topic) = topics.get(&key) {
        return Ok(Arc::clone(topic));
    }
    if topics.len() >= TOPICS {
        return Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many pages are watched",
        ));
    }
    let topic = Arc::new(Topic {
        parts: watch::Sender::default(),
        visits: Mutex::default(),
        count: AtomicU64::new(0),
    });
    topics.insert(key.clone(), Arc::clone(&topic));
    drop(topics);
    let (owned, running) = (console.clone(), Arc::clone(&topic));
    let address = visit.api.address();
    let stop = console.stopped().clone();
    console.tasks().spawn(async move {
        tokio::select! {
            () = renew(&owned, &running, &uri, address) => {}
            () = stop.cancelled() => {}
        }
        lock(&owned.hub().topics).remove(&key);
        lock(&owned.hub().histories).remove(&uri.to_string());
    });
    Ok(topic)
}

/// Makes the page again and again, until nobody watches it any more.
async fn renew(
    console: &Console,
    topic: &Topic,
    uri: &Uri,
    address: std::net::SocketAddr,
) {
    let mut clock = interval(EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut alone = 0;
    while alone < LINGER {
        clock.tick().await;
        let Some((id, headers)) = topic.next() else {
            alone += 1;
            continue;
        };
        alone = 0;
        let visit =
            Visit::new(console, address, &Method::GET, uri, &headers, b"");
        match super::open(&visit).await {
            Ok(Outcome::Page(made)) => {
                console.hub().record(&visit.here(), &made);
                let parts = Arc::new(made.parts);
                topic.parts.send_if_modified(|before| {
                    let is_new = *before != parts;
                    *before = parts;
                    is_new
                });
            }
            Err(refusal) if refusal.asks_for_login() => topic.part(id),
            // The next round may go better; the stream breathes meanwhile.
            Ok(_) | Err(_) => {}
        }
    }
}

/// Sends what is new, until the other side or the session has gone.
async fn push(
    watcher: &Watcher,
    last: Option<String>,
    sender: &mpsc::Sender<String>,
) {
    let mut parts = watcher.topic.parts.subscribe();
    parts.mark_changed();
    let mut sent: HashMap<&'static str, u64> = HashMap::new();
    let mut is_first = true;
    let mut breath = interval(BREATH);
    loop {
        let text = tokio::select! {
            changed = parts.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = Arc::clone(&parts.borrow_and_update());
                if now.is_empty() {
                    continue;
                }
                let id = digest(&now);
                let text = event(&now, &mut sent, &id);
                // What the browser had when the line broke is not repeated.
                if std::mem::take(&mut is_first) && last.as_ref() == Some(&id) {
                    continue;
                }
                text
            }
            _ = breath.tick() => ": here\n\n".to_owned(),
            () = sender.closed() => return,
        };
        let is_welcome = watcher.is_welcome();
        if !is_welcome || !text.is_empty() && sender.send(text).await.is_err() {
            return;
        }
    }
}

fn digest(parts: &Parts) -> String {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// The event that brings a page from `sent` to `parts`; empty if it is there.
fn event(
    parts: &Parts,
    sent: &mut HashMap<&'static str, u64>,
    id: &str,
) -> String {
    let mut html = String::new();
    for (name, part) in parts.iter() {
        let mut hasher = DefaultHasher::new();
        part.hash(&mut hasher);
        let hash = hasher.finish();
        if sent.insert(name, hash) != Some(hash) {
            html.push_str("<hx-partial hx-target=\"#");
            html.push_str(name);
            html.push_str("\" hx-swap=\"innerMorph\">");
            html.push_str(part);
            html.push_str("</hx-partial>");
        }
    }
    if html.is_empty() {
        return html;
    }
    let mut text = format!("id: {id}\n");
    for line in html.lines() {
        text.push_str("data: ");
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_watches_a_page_that_was_made_for_a_greater_role() {
        let who = |account: &str, role: &str| serde_json::json!({ "account": account, "role": role });
        let page = |text: &str| canonical(&Console::new(), text).unwrap();
        let (admin, lesser) = (who("ada", "admin"), who("ada", "readonly"));
        for text in ["/", "/devices/a", "/accounts", "/devices-new"] {
            let page = page(text);
            assert_ne!(key(&admin, &page), key(&lesser, &page), "{text}");
        }
        let other = who("bob", "admin");
        let devices = page("/devices?q=a");
        assert_eq!(key(&admin, &devices), key(&other, &devices));
        let tokens = page("/api-tokens");
        assert_ne!(key(&admin, &tokens), key(&other, &tokens));
        // However it is spelt, a page has one history.
        assert_eq!(page("/devices?q=%61"), devices);
    }

    #[test]
    fn only_what_changed_is_sent() {
        let mut sent = HashMap::new();
        let parts = |count: &str| {
            Arc::new(vec![
                ("table", "<p>a</p>\n<p>b</p>".to_owned()),
                ("count", count.to_owned()),
            ])
        };
        let first = event(&parts("1"), &mut sent, "x");
        assert!(first.starts_with("id: x\ndata: <hx-partial"), "{first}");
        assert!(first.contains("\ndata: <p>b</p>"), "{first}");
        assert!(first.ends_with("\n\n"), "{first}");
        let second = event(&parts("2"), &mut sent, "y");
        assert!(!second.contains("#table"), "{second}");
        assert!(second.contains("#count"), "{second}");
        assert_eq!(event(&parts("2"), &mut sent, "y"), "");
    }

    #[test]
    fn each_watcher_is_asked_in_turn() {
        let topic = Arc::new(Topic {
            parts: watch::Sender::default(),
            visits: Mutex::default(),
            count: AtomicU64::new(0),
        });
        let one = topic.join(HeaderMap::new());
        let other = topic.join(HeaderMap::new());
        let mut asked: Vec<_> =
            (0..4).map(|_| topic.next().unwrap().0).collect();
        assert_eq!(asked.get(..2), asked.get(2..));
        asked.sort_unstable();
        assert_eq!(asked, [0, 0, 1, 1]);
        topic.part(one.id);
        assert!(!one.is_welcome());
        drop(one);
        assert!(other.is_welcome());
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_broke_resumes_without_repeating() {
        let parts: Parts = Arc::new(vec![("count", "1".to_owned())]);
        let topic = Arc::new(Topic {
            parts: watch::Sender::new(Arc::clone(&parts)),
            visits: Mutex::default(),
            count: AtomicU64::new(0),
        });
        let watcher = topic.join(HeaderMap::new());
        let (sender, mut receiver) = mpsc::channel(4);
        let last = Some(digest(&parts));
        let pushing = push(&watcher, last, &sender);
        let reading = async {
            assert_eq!(receiver.recv().await.unwrap(), ": here\n\n");
            topic.parts.send_replace(Arc::new(vec![("count", "2".to_owned())]));
            let text = receiver.recv().await.unwrap();
            assert!(text.contains(">2<"), "{text}");
            drop(receiver);
        };
        tokio::join!(pushing, reading);
    }
}
