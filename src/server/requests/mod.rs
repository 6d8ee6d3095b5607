//! Requests that are not on the hot path: an async function each, from a [`Request`] to an [`Answer`].

pub mod admin;
pub mod broker;
pub mod clients;
pub mod consumers;
pub mod groups;
pub mod locks;
mod names;
pub mod namesrv;
pub mod offsets;
pub mod pull;
pub mod query;
mod refusals;
pub mod replies;
pub mod retry;
mod runtime_info;
pub mod send;
pub mod stats;
pub mod topics;
pub mod transactions;

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde::de::Deserialize;

use crate::actors::Peer;
use crate::protocol::fields::FieldError;
use crate::protocol::frame::{self, Codec, Ext, NewHead};

/// A request, free of the socket buffer that it was read from.
#[derive(Debug)]
pub struct Request {
    pub code: i32,
    /// Ordinal of the client's version.
    pub version: i32,
    /// Ordinal of the client's language.
    pub language: u8,
    pub ext: Ext<'static>,
    pub body: Bytes,
    pub peer: Peer,
}

impl Request {
    /// Reads the typed header.
    ///
    /// # Errors
    /// A refusal with code 1 that names the field.
    pub fn header<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Refusal> {
        Ok(self.ext.decode()?)
    }
}

/// What a request that is not served as asked is answered with: RocketMQ's code and a remark for the person who
/// reads the client's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Response code, never 0.
    pub code: i32,
    pub remark: Cow<'static, str>,
}

impl Refusal {
    pub fn new(code: impl Into<i32>, remark: impl Into<Cow<'static, str>>) -> Self {
        Self { code: code.into(), remark: remark.into() }
    }
}

impl From<FieldError> for Refusal {
    fn from(error: FieldError) -> Self {
        Refusal::new(1, error.0)
    }
}

/// A response header of any type, written when the codec is known.
pub trait ResponseHeader: Send {
    /// Appends the frame up to its body.
    ///
    /// # Errors
    /// When the header is no flat struct: a programmer's error.
    fn write(&self, out: &mut Vec<u8>, codec: Codec, head: &NewHead<'_>, body: usize) -> Result<(), FieldError>;
}

impl<T: Serialize + Send> ResponseHeader for T {
    fn write(&self, out: &mut Vec<u8>, codec: Codec, head: &NewHead<'_>, body: usize) -> Result<(), FieldError> {
        frame::encode(out, codec, head, self, body)
    }
}

/// An answer to a request.
pub struct Response {
    pub code: i32,
    pub remark: Option<Cow<'static, str>>,
    pub header: Box<dyn ResponseHeader>,
    pub body: Bytes,
}

impl Response {
    /// Success without header and body.
    #[must_use]
    pub fn ok() -> Self {
        Self { code: 0, remark: None, header: Box::new(()), body: Bytes::new() }
    }

    #[must_use]
    pub fn header(header: impl Serialize + Send + 'static) -> Self {
        Self { header: Box::new(header), ..Self::ok() }
    }

    #[must_use]
    pub fn body(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::ok() }
    }

    #[must_use]
    pub fn with_remark(self, remark: impl Into<Cow<'static, str>>) -> Self {
        Self { remark: Some(remark.into()), ..self }
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.code, remark: Some(refusal.remark), ..Self::ok() }
    }
}

/// What a request handler returns; `Ok(None)` when nothing is to be sent.
pub type Answer = Result<Response, Refusal>;
