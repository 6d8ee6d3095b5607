//! What a user's own actors hear: filters, interceptors and listeners, which a broker is given when it is built.
//!
//! | actor | hears | answers |
//! |---|---|---|
//! | filter | [`FilterBatch`]: messages that a consumer may want | one bit a message: [`Bits`] |
//! | interceptor | [`InterceptBatch`]: messages that are about to be stored | one [`Verdict`] a message |
//! | listener | [`BrokerEvent`]: what was appended and delivered, which groups changed | nothing |
//!
//! A broker without any of them does nothing for them. `docs/extending.md` leads from nothing to a filter that works.

mod filter;
mod interceptor;
mod listener;
mod view;

pub use self::filter::{
    Bits, CustomFilter, FILTER_BATCHES_MAX, FILTER_NAME_BYTES_MAX, FILTER_PATIENCE, FilterAnswer, FilterBatch,
    FilterError, FilterUse, Filters,
};
pub use self::interceptor::{
    INTERCEPT_PATIENCE, Incoming, InterceptAnswer, InterceptBatch, InterceptError, Interceptors, Verdict,
};
pub use self::listener::{BrokerEvent, Listeners};
pub use self::view::{Found, MessageView, Messages, Place};
