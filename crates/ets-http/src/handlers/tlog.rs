//! Each domain as a transparency log (C2SP tlog-tiles).

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use ets_core::merkle::TILE_WIDTH;

use super::passing;
use super::proofs::plain;
use crate::problem::Problem;
use crate::router::Shared;

/// `GET /tlog/{domain}/checkpoint`: the note of the last checkpoint.
///
/// # Errors
/// 404 for an unknown domain, 409 before the first seal.
pub async fn checkpoint(
    State(shared): State<Shared>,
    Path(domain): Path<String>,
) -> Result<Response, Problem> {
    let note = shared.read.text("SELECT ets.checkpoint_note($1)", &[&domain]).await?;
    Ok(passing(plain(note)))
}

/// `GET /tlog/{domain}/tile/…`: a tile of hashes, or of entries. It never changes.
///
/// # Errors
/// 404 for what is no tile, or not sealed.
pub async fn tile(
    State(shared): State<Shared>,
    Path((domain, tile)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let none = || Problem::request(404, "there is no such tile");
    let tile = Tile::of(&tile).ok_or_else(none)?;
    let rows = match tile.level {
        Some(level) => {
            let sql = "SELECT ets.tile($1, $2, $3, $4)";
            shared.read.query(sql, &[&domain, &level, &tile.index, &tile.width]).await
        }
        None => {
            shared
                .read
                .query("SELECT ets.entry_bundle($1, $2, $3)", &[&domain, &tile.index, &tile.width])
                .await
        }
    };
    // To a client of logs, what is beyond the tree is not there.
    let rows = rows.map_err(|problem| match problem.sqlstate.as_str() {
        "ET012" | "22023" => none(),
        _ => problem,
    })?;
    let bytes: Option<&[u8]> = rows.first().and_then(|row| row.try_get(0).ok());
    let mut response = (StatusCode::OK, bytes.ok_or_else(none)?.to_vec()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    Ok(response)
}

/// A tile's place, as tlog-tiles writes it below `tile/`.
#[derive(Debug, PartialEq, Eq)]
struct Tile {
    /// None: entries.
    level: Option<i32>,
    index: i64,
    width: i32,
}

impl Tile {
    /// `L/N` or `entries/N`, perhaps with `.p/W`; `N` in groups of three digits, all but the
    /// last behind an `x`.
    fn of(path: &str) -> Option<Tile> {
        let (kind, rest) = path.split_once('/')?;
        let level = match kind {
            "entries" => None,
            _ => Some(number(kind, 2).filter(|level| *level < 64)?),
        };
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => {
                (index, number(width, 3).filter(|width| (1..TILE_WIDTH as i64).contains(width))?)
            }
            None => (rest, TILE_WIDTH as i64),
        };
        let groups: Vec<&str> = index.split('/').collect();
        let mut at = 0_i64;
        for (place, group) in groups.iter().enumerate() {
            let is_last = place + 1 == groups.len();
            let digits = if is_last { group } else { &group.strip_prefix('x')? };
            if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            at = at.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        }
        // One way to write each number: no empty groups in front.
        if groups.len() > 1 && groups.first() == Some(&"x000") {
            return None;
        }
        Some(Tile {
            level: level.map(i32::try_from).transpose().ok()?,
            index: at,
            width: i32::try_from(width).ok()?,
        })
    }
}

/// A decimal number without zeros in front, of at most so many digits.
fn number(text: &str, most: usize) -> Option<i64> {
    let is_plain = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = text.len() == 1 || !text.starts_with('0');
    (is_plain && is_short).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_found_by_the_paths_of_tlog_tiles() {
        let tile = |level, index, width| Some(Tile { level, index, width });
        for (path, expected) in [
            ("0/000", tile(Some(0), 0, 256)),
            ("1/x001/x234/067", tile(Some(1), 1_234_067, 256)),
            ("0/x273/112.p/17", tile(Some(0), 273_112, 17)),
            ("entries/005.p/1", tile(None, 5, 1)),
            ("63/999", tile(Some(63), 999, 256)),
        ] {
            assert_eq!(Tile::of(path), expected, "{path}");
        }
        for path in [
            "",
            "0",
            "0/",
            "0/0",
            "0/0000",
            "00/000",
            "64/000",
            "0/x000/001",
            "0/001/002",
            "0/x01/002",
            "-1/000",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/01",
            "0/000.p",
            "0/000/",
            "entries/x001",
            "0/x999/x999/x999/x999/x999/x999/x999/999",
            "+1/000",
            "0/٣٣٣",
        ] {
            assert_eq!(Tile::of(path), None, "{path}");
        }
    }
}
