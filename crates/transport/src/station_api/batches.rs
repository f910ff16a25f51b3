//! Batches of pairings ([W §1]).

use axum::extract::{Request, State};
use axum::response::IntoResponse;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use zmon_domain::error::FieldError;
use zmon_domain::ids::BatchId;
use zmon_domain::limits;
use zmon_wire::batch::BatchRetryRequest;
use zmon_wire::pair::ScanRequest;

use super::Api;
use super::answer::{Answer, Refused, Segment, ok, read, read_bytes, read_or_nothing, segment};
use super::gate::Caller;
use super::query::{page, values};
use super::tagged::tagged;
use crate::problem;

/// The media type of a report (RFC 4180, RFC 7111).
pub(super) const CSV: &str = "text/csv; charset=utf-8; header=present";

/// `GET /api/batches?offset=&limit=`, the newest first.
pub(super) async fn list(State(api): State<Api>, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let [offset, limit] = values(request.uri(), ["offset", "limit"])?;
    tagged(request.headers(), &api.station.batches(&proof, page(offset, limit)?).await?)
}

/// `POST /api/batches?name=`: a manifest. Its limit is its own.
pub(super) async fn open(State(api): State<Api>, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let uri = request.uri().clone();
    let manifest = read_bytes(request, limits::MANIFEST_BYTES.default).await?;
    let [name] = values(&uri, ["name"])?;
    let name = name.ok_or(FieldError::new("name", "must be given in the query"))?.parse()?;
    ok(&api.station.open_batch(&proof, name, &manifest).await?)
}

/// `GET /api/batches/{batchId}`.
pub(super) async fn batch(State(api): State<Api>, id: Segment, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    tagged(request.headers(), &api.station.batch(&proof, &named(id)?).await?)
}

/// `GET /api/batches/{batchId}/report`: its items as a table for spreadsheets.
pub(super) async fn report(State(api): State<Api>, id: Segment, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let id = named(id)?;
    let table = api.station.batch(&proof, &id).await?.to_csv();
    let file = format!("attachment; filename=\"batch-{id}.csv\"");
    let file =
        HeaderValue::from_str(&file).map_err(|_| FieldError::new("batchId", "must be text"))?;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(CSV)), (CONTENT_DISPOSITION, file)], table)
        .into_response())
}

/// `POST /api/batches/{batchId}/scan`: 202, the device's item is at work.
pub(super) async fn scan(State(api): State<Api>, id: Segment, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let scan: ScanRequest = read(request).await?;
    let taken = api.station.batch_scan(&proof, &named(id)?, scan).await?;
    Ok(problem::json(StatusCode::ACCEPTED, &taken)?)
}

/// `POST /api/batches/{batchId}/pause`.
pub(super) async fn pause(State(api): State<Api>, id: Segment, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    ok(&api.station.pause_batch(&proof, &named(id)?).await?)
}

/// `POST /api/batches/{batchId}/resume`.
pub(super) async fn resume(State(api): State<Api>, id: Segment, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    ok(&api.station.resume_batch(&proof, &named(id)?).await?)
}

/// `POST /api/batches/{batchId}/close`.
pub(super) async fn close(State(api): State<Api>, id: Segment, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    ok(&api.station.close_batch(&proof, &named(id)?).await?)
}

/// `POST /api/batches/{batchId}/retry`; without a body, every item that can be.
pub(super) async fn retry(State(api): State<Api>, id: Segment, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let asked = read_or_nothing::<BatchRetryRequest>(request).await?;
    let rows = asked.as_ref().map(|asked| asked.rows.as_slice());
    ok(&api.station.retry_batch(&proof, &named(id)?, rows).await?)
}

pub(super) fn named(id: Segment) -> Result<BatchId, Refused> {
    Ok(BatchId::parse(&segment("batchId", id)?)?)
}
