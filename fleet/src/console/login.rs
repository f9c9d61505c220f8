//! Coming in and going out, and the choice of colours.

use askama::Template;
use dropshot::Body;
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::{Value, json};

use super::error::Refusal;
use super::made::{Made, Outcome};
use super::page::{Frame, SESSION, THEME, local, see_other};
use super::visit::{Visit, with_query};

#[derive(Debug, Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    error: Option<String>,
    user: String,
    next: String,
    version: String,
}

/// Asks for name and password, and takes them.
pub(crate) async fn login(visit: &Visit<'_>) -> Result<Outcome, Refusal> {
    let mut refusal = None;
    let mut next = visit.asked("next");
    if visit.post {
        next = visit.filled("next");
        let sent = json!({
            "name": visit.filled("user"),
            "password": visit.filled("password"),
        });
        let reply =
            visit.api.call(&Method::POST, "/v1/login", Some(&sent)).await?;
        let answer = reply.json();
        let token = answer.get("token").and_then(Value::as_str);
        match token.filter(|_| reply.status.is_success()) {
            Some(token) => {
                let answer = with_cookie(
                    see_other(local(next)),
                    &visit.cookie(SESSION, token, "HttpOnly; "),
                );
                return Ok(Outcome::Raw(answer));
            }
            None => refusal = Some(Refusal::from(&reply)),
        }
    }
    let frame = Frame {
        title: "Sign in".to_owned(),
        theme: visit.theme.clone(),
        here: visit.here(),
        ..Frame::default()
    };
    let page = LoginPage {
        frame,
        error: refusal.as_ref().map(Refusal::sentence),
        user: visit.filled("user").to_owned(),
        next: local(next).to_owned(),
        version: format!("on-prem {}", env!("CARGO_PKG_VERSION")),
    };
    let mut made = Made::new(&page)?;
    if let Some(refusal) = refusal {
        made.status = refusal.status;
    }
    Ok(Outcome::Page(made))
}

/// Ends the session.
pub(crate) async fn logout(visit: &Visit<'_>) -> Result<Outcome, Refusal> {
    if visit.post {
        let reply = visit.api.call(&Method::POST, "/v1/logout", None).await?;
        let gone = reply.status == StatusCode::UNAUTHORIZED;
        if !reply.status.is_success() && !gone {
            return Err(Refusal::from(&reply));
        }
    }
    let ended = visit.cookie(SESSION, "", "HttpOnly; Max-Age=0; ");
    let answer = with_cookie(see_other("/login"), &ended);
    Ok(Outcome::Raw(if visit.post { answer } else { see_other("/") }))
}

/// Remembers the choice of colours.
pub(crate) fn theme(visit: &Visit<'_>) -> Outcome {
    let theme = match visit.filled("theme") {
        theme @ ("light" | "dark") if visit.post => theme,
        _ => "auto",
    };
    let answer = with_cookie(
        see_other(local(visit.filled("next"))),
        &visit.cookie(THEME, theme, "Max-Age=31536000; "),
    );
    Outcome::Raw(answer)
}

/// To the login, and back to where one wanted to go.
pub(crate) fn detour(visit: &Visit<'_>) -> Response<Body> {
    let next = if visit.post { visit.path.clone() } else { visit.here() };
    let query = match next.as_str() {
        "/" => Vec::new(),
        _ => vec![("next".to_owned(), next)],
    };
    see_other(&with_query("/login", &query))
}

impl Visit<'_> {
    fn cookie(&self, name: &str, value: &str, more: &str) -> String {
        format!("{name}={value}; {more}{}SameSite=Lax; Path=/", self.secure)
    }
}

fn with_cookie(mut answer: Response<Body>, cookie: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        answer.headers_mut().append(header::SET_COOKIE, value);
    }
    answer
}
