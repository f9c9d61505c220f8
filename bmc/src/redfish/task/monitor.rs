//! The monitor of a task: 202 while it runs, then the operation's own answer
//! (DSP0266, "Asynchronous operations").

use http::{
    HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{ALLOW, LOCATION, RETRY_AFTER},
};

use super::Record;
use crate::redfish::{
    Body,
    error::Error,
    exchange::{Exchange, accepts},
    render,
    router::Route,
    uri,
};

/// When a client may ask again, in seconds.
const RETRY: HeaderValue = HeaderValue::from_static("1");

impl Exchange<'_> {
    /// Answers on the monitor of the task `id`.
    pub(in crate::redfish) async fn monitor(
        &self,
        path: &str,
        id: &str,
    ) -> Result<Response<Body>, Error> {
        let book = &self.service.task_book;
        let task = book.get(id).filter(Record::has_monitor);
        let task = task.ok_or_else(|| Error::not_found(path))?;
        self.may_follow(&task)?;
        let allow = if task.is_running() && !task.can_be_cancelled {
            HeaderValue::from_static("GET, HEAD")
        } else {
            HeaderValue::from_static("GET, HEAD, DELETE")
        };
        match self.parts.method {
            Method::GET | Method::HEAD => {
                accepts(&self.parts.headers, "application/json")?;
                let mut response = self.follow(&task)?;
                response.headers_mut().insert(ALLOW, allow);
                Ok(response)
            }
            Method::DELETE => {
                if task.is_running() {
                    if !book.cancel(id).await {
                        let allow = HeaderValue::from_static("GET, HEAD");
                        return Err(Error::method_not_allowed(allow));
                    }
                } else {
                    book.close_monitor(id).await?;
                }
                let mut response = Response::default();
                *response.status_mut() = StatusCode::NO_CONTENT;
                Ok(response)
            }
            _ => Err(Error::method_not_allowed(allow)),
        }
    }

    fn follow(&self, task: &Record) -> Result<Response<Body>, Error> {
        let Some(answer) = &task.answer else { return self.accepted(task) };
        if self.parts.method == Method::GET {
            self.service.task_book.read(&task.id);
        }
        let body = if answer.body.is_null() {
            Body::default()
        } else {
            Body::from(answer.body.to_string())
        };
        let mut response = Response::new(body);
        *response.status_mut() = answer.status();
        for (name, value) in &answer.headers {
            if let (Ok(name), Ok(value)) =
                (name.parse::<HeaderName>(), HeaderValue::from_str(value))
            {
                response.headers_mut().append(name, value);
            }
        }
        Ok(response)
    }

    /// What is said of an operation that goes on.
    pub(in crate::redfish) fn accepted(
        &self,
        task: &Record,
    ) -> Result<Response<Body>, Error> {
        let service = self.service;
        let path = uri::of(uri::TASK, &[&task.id]);
        let Some((Route::Resource(entry), ids)) = service.routes.find(&path)
        else {
            return Err(Error::internal());
        };
        let rendered = service.render(entry.resource, &path, &ids);
        let rendered = rendered.ok_or_else(Error::internal)?;
        let mut response = Response::new(Body::from(rendered.body.clone()));
        *response.status_mut() = StatusCode::ACCEPTED;
        let headers = response.headers_mut();
        let monitor = uri::of(uri::TASK_MONITOR, &[&task.id]);
        headers.insert(LOCATION, render::header(&monitor));
        headers.insert(RETRY_AFTER, RETRY);
        Ok(response)
    }

    /// A task is its owner's, and those' who configure the manager.
    fn may_follow(&self, task: &Record) -> Result<(), Error> {
        let caller = self.caller.as_ref().ok_or_else(Error::unauthorized)?;
        if task.owner.is(caller) && !caller.must_change_password {
            return Ok(());
        }
        let path = uri::of(uri::TASK, &[&task.id]);
        match self.service.routes.find(&path) {
            Some((Route::Resource(entry), ids)) => {
                let needed = entry.needs(&Method::DELETE, None);
                self.holds(entry, &ids, needed)
            }
            _ => Err(Error::internal()),
        }
    }
}
