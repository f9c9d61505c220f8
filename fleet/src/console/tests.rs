//! Pages over an API that answers from its own description: what the model
//! says there is, is on the pages.

use std::collections::BTreeSet;

use bytes::Bytes;
use dropshot::{ConfigDropshot, HttpServer, ServerBuilder};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use onprem_description::{Format, Kind, Operation, Property, Shape};
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;

use super::*;

const HOSTILE: &str = "<script>alert('x')</script>\"&";
const SESSION: &str = "onprem_session=s";

/// An API without anything behind it.
struct Stub {
    console: Console,
}

impl Host for Stub {
    fn console(&self) -> &Console {
        &self.console
    }
}

/// What an answer of this form could be.
fn sample(property: &Property) -> Value {
    match (&property.kind, property.format) {
        (Kind::Text, Format::Url) => json!("javascript:alert(1)"),
        (Kind::Text | Kind::Any, _) => json!(HOSTILE),
        (Kind::Boolean, _) => json!(true),
        (Kind::Integer(_), _) => json!(3),
        (Kind::Number(_), _) => json!(48.25),
        (Kind::DateTime, _) => json!("2026-11-22T15:00:00Z"),
        (Kind::Enum(values), _) => json!(values.first()),
        (Kind::List(_), _) if !property.properties.is_empty() => {
            json!([sample_item(&property.properties)])
        }
        (Kind::List(_), _) => json!([HOSTILE, "b"]),
        (Kind::Map(_), _) => json!({ HOSTILE: "a" }),
        (Kind::Struct, _) => sample_item(&property.properties),
    }
}

fn sample_item(properties: &[Property]) -> Value {
    let pair = |own: &Property| (own.name.clone(), sample(own));
    Value::Object(properties.iter().map(pair).collect::<Map<_, _>>())
}

fn sample_answer(operation: &Operation) -> Value {
    let item = sample_item(&operation.answer.properties);
    match operation.answer.shape {
        Shape::List => json!({"items": [item], "next_page": null}),
        _ => item,
    }
}

/// The operation that this request means.
fn operation<'m>(
    model: &'m PageModel,
    method: &Method,
    path: &str,
) -> Option<&'m Operation> {
    let fits = |operation: &&Operation| {
        let (own, asked) = (operation.path.split('/'), path.split('/'));
        operation.method == method.as_str()
            && own.clone().count() == asked.clone().count()
            && own.zip(asked).all(|(a, b)| a == b || a.starts_with('{'))
    };
    model.operations().find(fits)
}

async fn any(
    rqctx: RequestContext<Stub>,
    _: Path<Rest>,
    _: UntypedBody,
) -> Result<Response<Body>, HttpError> {
    let request = &rqctx.request;
    let path = request.uri().path();
    let session = page::cookie(request.headers(), page::SESSION);
    let (status, json) = if path == "/v1/login" {
        (200, json!({"token": "s"}))
    } else if session != Some("s") {
        (401, json!({"message": "sign in first"}))
    } else if path == "/v1/whoami" {
        (200, json!({"account": "admin", "role": "admin"}))
    } else {
        match operation(rqctx.context().console.model(), request.method(), path)
        {
            Some(operation) => (200, sample_answer(operation)),
            None => (404, json!({"message": "no such operation"})),
        }
    };
    let mut answer = Response::new(Body::from(json.to_string()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    Ok(answer)
}

fn start(model: &'static PageModel) -> HttpServer<Stub> {
    let mut api = ApiDescription::new();
    register_for(&mut api, model).unwrap();
    for method in [Method::GET, Method::POST, Method::PATCH, Method::DELETE] {
        api.register(
            ApiEndpoint::new(
                format!("any {method}"),
                any,
                method,
                "application/json",
                "/v1/{path:.*}",
                ApiEndpointVersions::All,
            )
            .visible(false),
        )
        .unwrap();
    }
    let log = slog::Logger::root(slog::Discard, slog::o!());
    ServerBuilder::new(api, Stub { console: Console::of(model) }, log)
        .config(ConfigDropshot {
            bind_address: "127.0.0.1:0".parse().unwrap(),
            ..ConfigDropshot::default()
        })
        .start()
        .unwrap()
}

struct Got {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

async fn ask(
    server: &HttpServer<Stub>,
    request: http::request::Builder,
    body: &str,
) -> Got {
    let stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.unwrap();
    let request = request
        .header("host", server.local_addr().to_string())
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap();
    let exchange = async {
        let answer = sender.send_request(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Got { status: parts.status, headers: parts.headers, text }
    };
    tokio::pin!(exchange);
    tokio::select! {
        got = &mut exchange => got,
        _ = connection => exchange.await,
    }
}

async fn get(server: &HttpServer<Stub>, path: &str) -> Got {
    let request = Request::get(path).header("cookie", SESSION);
    ask(server, request, "").await
}

async fn post(server: &HttpServer<Stub>, path: &str, form: &str) -> Got {
    let request = Request::post(path)
        .header("cookie", SESSION)
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded");
    ask(server, request, form).await
}

/// The addresses of all pages of the model, with `x` for each id.
fn addresses(model: &PageModel) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for resource in &model.resources {
        let above = match &resource.parent {
            None => String::new(),
            Some(parent) => {
                let parent = model.resource(parent).unwrap();
                format!("/{}/x", parent.segment)
            }
        };
        let page = format!("{above}/{}", resource.segment);
        if resource.list.is_some() || resource.is_single() {
            if above.is_empty() && resource.list.is_none() {
                continue;
            }
            out.insert(page.clone());
        }
        if resource.create.is_some() {
            out.insert(format!("{page}-new"));
        }
        if resource.list.is_some() && resource.view.is_some() {
            out.insert(format!("{page}/x"));
        }
        if resource.update.is_some() {
            out.insert(format!("{page}/x/edit"));
        }
        if resource.delete.is_some() {
            out.insert(format!("{page}/x/delete"));
        }
        for action in &resource.actions {
            let is_item = action.path_parameters.len() == 1;
            if is_item && action.method == "POST" && above.is_empty() {
                out.insert(format!("{page}/x/actions/{}", action.name));
            }
        }
    }
    out
}

#[tokio::test]
async fn every_page_of_the_model_renders_and_escapes_what_devices_say() {
    let model = PageModel::get();
    let server = start(model);
    let mut count = 0;
    for path in addresses(model) {
        let got = get(&server, &path).await;
        assert_eq!(got.status, StatusCode::OK, "{path}: {}", got.text);
        assert!(!got.text.contains("<script>"), "{path}");
        assert!(!got.text.contains("href=\"javascript:"), "{path}");
        assert!(!got.text.contains("style=\""), "{path}");
        assert!(got.text.contains("<h1"), "{path}");
        count += 1;
    }
    for path in
        ["/", "/api", "/login", "/devices/x/redfish", "/devices/x/events"]
    {
        let got = get(&server, path).await;
        assert_eq!(got.status, StatusCode::OK, "{path}: {}", got.text);
    }
    assert!(count > 15, "{count} pages");
}

#[tokio::test]
async fn every_list_has_a_twin_in_json() {
    let server = start(PageModel::get());
    for path in ["/devices.json", "/devices/x.json", "/devices/x/sensors.json"]
    {
        let got = get(&server, path).await;
        assert_eq!(got.status, StatusCode::OK, "{path}");
        assert!(serde_json::from_str::<Value>(&got.text).is_ok(), "{path}");
    }
    let request = Request::get("/devices")
        .header("cookie", SESSION)
        .header("accept", "application/json");
    let got = ask(&server, request, "").await;
    assert!(got.text.starts_with("{\"items\""), "{}", got.text);
}

#[tokio::test]
async fn who_is_not_signed_in_is_asked_to_and_comes_back() {
    let server = start(PageModel::get());
    let path = "/devices?q=a%20b&sort=name";
    let got = ask(&server, Request::get(path), "").await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
    let place = got.headers["location"].to_str().unwrap();
    assert_eq!(place, "/login?next=%2Fdevices%3Fq%3Da%2520b%26sort%3Dname");

    let form = "user=admin&password=p&next=%2Fdevices%3Fq%3Da%2520b";
    let got = post(&server, "/login", form).await;
    assert_eq!(got.headers["location"], "/devices?q=a%20b");
    let cookie = got.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("onprem_session=s; HttpOnly"), "{cookie}");

    let form = "user=admin&password=p&next=%2F%2Fexample.com";
    let got = post(&server, "/login", form).await;
    assert_eq!(got.headers["location"], "/");
}

#[tokio::test]
async fn a_form_from_another_site_is_refused() {
    let server = start(PageModel::get());
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://example.com"),
        ("x-nothing", "x"),
    ] {
        let request = Request::post("/devices/x/delete")
            .header("cookie", SESSION)
            .header(name, value);
        let got = ask(&server, request, "confirm=x").await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{name}");
    }
}

#[tokio::test]
async fn a_reset_leads_to_its_task() {
    let server = start(PageModel::get());
    let path = "/devices/x/actions/reset";
    let got = get(&server, path).await;
    assert!(got.text.contains("Force restart"), "{}", got.text);
    let got = post(&server, path, "resetType=ForceRestart").await;
    assert_eq!(got.status, StatusCode::SEE_OTHER, "{}", got.text);
    let place = got.headers["location"].to_str().unwrap();
    assert!(place.starts_with("/tasks/"), "{place}");
}

#[tokio::test]
async fn a_resource_nobody_wrote_code_for_has_its_pages() {
    let mut document = onprem_description::document().clone();
    let widget = json!({
        "type": "object",
        "required": ["id", "name", "size"],
        "properties": {
            "id": {"type": "string"},
            "name": {"type": "string"},
            "size": {"type": "integer", "format": "int32"},
        },
    });
    document["components"]["schemas"]["Widget"] = widget;
    let item = json!({"$ref": "#/components/schemas/Widget"});
    let answers = |schema: &Value| {
        json!({"200": {"description": "", "content": {
            "application/json": {"schema": schema}}}})
    };
    let page = json!({
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": {"type": "array", "items": item},
            "next_page": {"type": "string", "nullable": true},
        },
    });
    let id = json!([{"in": "path", "name": "widget", "required": true,
        "schema": {"type": "string"}}]);
    document["paths"]["/v1/widgets"] = json!({
        "get": {"operationId": "widget_list", "summary": "List widgets",
            "tags": ["widgets"], "responses": answers(&page)},
        "post": {"operationId": "widget_create", "summary": "Create a widget",
            "tags": ["widgets"], "responses": answers(&item),
            "requestBody": {"required": true, "content": {
                "application/json": {"schema": item}}}},
    });
    document["paths"]["/v1/widgets/{widget}"] = json!({
        "get": {"operationId": "widget_view", "summary": "View a widget",
            "tags": ["widgets"], "parameters": id,
            "responses": answers(&item)},
    });
    document["paths"]["/v1/widgets/{widget}/spin"] = json!({
        "post": {"operationId": "widget_spin", "summary": "Spin a widget",
            "tags": ["widgets"], "parameters": id,
            "responses": {"204": {"description": ""}}},
    });
    let model = Box::leak(Box::new(PageModel::from_document(&document)));
    let server = start(model);

    let list = get(&server, "/widgets").await.text;
    assert!(list.contains("href=\"/widgets-new\""), "{list}");
    assert!(list.contains("Size"), "{list}");
    let home = get(&server, "/").await.text;
    assert!(home.contains("href=\"/widgets\""), "{home}");
    let view = get(&server, "/widgets/w1").await.text;
    assert!(view.contains("/widgets/w1/actions/spin"), "{view}");
    let form = get(&server, "/widgets-new").await.text;
    assert!(form.contains("type=\"number\" name=\"size\""), "{form}");
    let spin = post(&server, "/widgets/w1/actions/spin", "").await;
    assert_eq!(spin.headers["location"], "/widgets/w1");
}

#[tokio::test]
async fn pages_allow_nothing_but_their_own_files() {
    let server = start(PageModel::get());
    let got = get(&server, "/devices").await;
    let policy = got.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(got.headers["x-content-type-options"], "nosniff");
    let request = Request::get("/devices")
        .header("cookie", SESSION)
        .header("accept-encoding", "gzip");
    let got = ask(&server, request, "").await;
    assert_eq!(got.headers["content-encoding"], "gzip");
}
