//! Places in a request: from what is written to what a route reads.

use portcullis_signals::{BodyField, JsonPointer, MAX_FIELDS};

use crate::diagnostics::{Diagnostic, Diagnostics, Span};
use crate::model::{FieldSource, Place, Reads};
use crate::written::WrittenPlace;

/// The most fields of one route: each is read on every request.
const MAX_READS: usize = 32;

/// What one route reads, gathered while its identities and limits are compiled.
#[derive(Debug, Default)]
pub(super) struct Places {
    reads: Reads,
}

impl Places {
    /// The place that a written one comes to; reports one field too many.
    pub(super) fn place(&mut self, written: &WrittenPlace, span: Span, out: &mut Diagnostics) -> Option<Place> {
        match written {
            WrittenPlace::Header(name) => Some(Place::Header(name.clone())),
            WrittenPlace::Cookie(name) => Some(Place::Cookie(name.clone())),
            WrittenPlace::Query(name) => self.field(FieldSource::Query(name.clone()), span, out),
            WrittenPlace::Form(name) => self.body(BodyField::Form(name.clone()), span, out),
            WrittenPlace::Json(pointer) => self.body(BodyField::Json(pointer.clone()), span, out),
            WrittenPlace::Claim { token, claim } => {
                let token = self.place(token, span, out)?;
                self.claim(token, claim.clone(), span, out)
            }
        }
    }

    /// A claim of the token that stands at a place.
    pub(super) fn claim(
        &mut self,
        token: Place,
        claim: JsonPointer,
        span: Span,
        out: &mut Diagnostics,
    ) -> Option<Place> {
        self.field(FieldSource::Claim { token, claim }, span, out)
    }

    /// What the route reads, with this bound for the body.
    pub(super) fn reads(self, body_bytes: u32) -> Reads {
        Reads { body_bytes, ..self.reads }
    }

    fn body(&mut self, field: BodyField, span: Span, out: &mut Diagnostics) -> Option<Place> {
        let at = place_in(&mut self.reads.body, field, MAX_FIELDS, "fields of a body", span, out)?;
        self.field(FieldSource::Body(at), span, out)
    }

    fn field(&mut self, source: FieldSource, span: Span, out: &mut Diagnostics) -> Option<Place> {
        place_in(&mut self.reads.fields, source, MAX_READS, "fields", span, out).map(Place::Field)
    }
}

/// The place of a value in a list, where it stands once.
fn place_in<T: PartialEq>(
    list: &mut Vec<T>,
    value: T,
    most: usize,
    what: &str,
    span: Span,
    out: &mut Diagnostics,
) -> Option<u8> {
    let known = list.iter().position(|known| *known == value);
    let at = known.unwrap_or(list.len());
    if at >= most {
        out.push(
            Diagnostic::error(format!("a route reads more than {most} {what}"))
                .at(span, "one too many")
                .help("each is read on every request: identify by fewer"),
        );
        return None;
    }
    if known.is_none() {
        list.push(value);
    }
    u8::try_from(at).ok()
}
