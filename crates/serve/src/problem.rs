//! Problem: in which words is something refused, and with which status?
//!
//! One word for each way, which programs compare; one sentence for the person who reads it. Nothing of the server's own
//! (paths, queries, stack) is ever in it. Source: RFC 9457; RFC 9110, 15.5.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::protocol::Problem;

/// How many broken rules and missing answers one answer names: whoever has more mends these first.
pub(crate) const MOST_NAMED: usize = 1_000;

impl Problem {
    pub(crate) fn new(status: StatusCode, word: &str, title: &str, detail: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            r#type: format!("urn:portcullis:problem:{word}"),
            title: title.into(),
            status: status.as_u16(),
            detail: detail.into(),
            missing: Vec::new(),
            broken: Vec::new(),
            more: 0,
            latest: None,
        })
    }

    pub(crate) fn token() -> Box<Self> {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "token",
            "no organisation has this token",
            "Send the token that the authority gave to your organisation: `Authorization: Bearer ...`.",
        )
    }

    pub(crate) fn often(seconds: u64) -> Box<Self> {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "often",
            "too many requests",
            format!("Try again in {seconds} seconds."),
        )
    }

    pub(crate) fn busy() -> Box<Self> {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "other reports are being taken",
            "Nothing is wrong with yours. Try again in a few seconds.",
        )
    }

    pub(crate) fn large(most: u64, what: &str) -> Box<Self> {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "large",
            "the report is too large",
            format!("More than {most} bytes {what} are not taken. Send it packed (`Content-Encoding: gzip`)."),
        )
    }

    pub(crate) fn slow(seconds: u64) -> Box<Self> {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "slow",
            "the report did not come in time",
            format!("It has to be here within {seconds} seconds. Send it again."),
        )
    }

    pub(crate) fn inside() -> Box<Self> {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "inside",
            "the server could not do its work",
            "Nothing was taken. Tell the authority, and hand the report in by another way before it is due.",
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if retry {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
