//! `probe`: what is this file?
//! Runs on a thread of its own: decoding takes up to seconds.

use pixelboy_display::limits::{MAX_ANIMATION_PIXELS, MAX_PICTURE_PIXELS, MAX_SOURCE_SIDE};
use pixelboy_probe::{Budget, Kind, Media as Found, extension_agrees};
use wasmtime::component::Resource;

use super::blob::Data;
use super::{Guest, failure};
use crate::plugin::contract::pixelboy::plugin::probe::{Host, HostMedia};
use crate::plugin::contract::pixelboy::plugin::types::Failure;

/// The resource behind `media`.
#[expect(
    unreachable_pub,
    reason = "the generated bindings re-export the types behind resources"
)]
pub struct Media(Found);

impl Host for Guest {
    async fn probe(
        &mut self,
        bytes: Resource<Data>,
    ) -> wasmtime::Result<Result<Resource<Media>, Failure>> {
        let blob = self.blob(&bytes)?;
        let found = tokio::task::spawn_blocking(move || {
            let length = blob.len();
            pixelboy_probe::probe(blob.reader(), length, Budget::default())
                .map(|found| (too_large(&found), found))
        })
        .await?;
        Ok(match found {
            Ok((Some(why), _)) => Err(failure::too_large(why)),
            Ok((None, found)) => Ok(self.table.push(Media(found))?),
            Err(refusal) => Err(failure::of_probe(&refusal)),
        })
    }
}

/// Why a display would not show it: then it is better told when it is to be stored.
fn too_large(found: &Found) -> Option<String> {
    let (side, pixels) = match found.kind {
        Kind::Image => (MAX_SOURCE_SIDE, MAX_PICTURE_PIXELS),
        Kind::Animation => (MAX_SOURCE_SIDE, MAX_ANIMATION_PIXELS),
        Kind::Audio => return None,
    };
    let (width, height) = (found.width, found.height);
    let fits = width.max(height) <= side && u64::from(width) * u64::from(height) <= pixels;
    (!fits).then(|| {
        format!(
            "the {} has {width} x {height} pixels; a display shows at most {side} a side and {pixels} in all: send a smaller one",
            found.kind
        )
    })
}

impl HostMedia for Guest {
    fn kind(&mut self, this: Resource<Media>) -> wasmtime::Result<String> {
        Ok(self.table.get(&this)?.0.kind.name().to_owned())
    }

    fn format(&mut self, this: Resource<Media>) -> wasmtime::Result<String> {
        Ok(self.table.get(&this)?.0.format.name().to_owned())
    }

    fn size(&mut self, this: Resource<Media>) -> wasmtime::Result<(u32, u32)> {
        let found = &self.table.get(&this)?.0;
        Ok((found.width, found.height))
    }

    fn frames(&mut self, this: Resource<Media>) -> wasmtime::Result<u32> {
        Ok(self.table.get(&this)?.0.frames)
    }

    fn duration_ms(&mut self, this: Resource<Media>) -> wasmtime::Result<Option<u64>> {
        Ok(self
            .table
            .get(&this)?
            .0
            .duration
            .map(|duration| duration.as_millis() as u64))
    }

    fn sample_rate(&mut self, this: Resource<Media>) -> wasmtime::Result<Option<u32>> {
        Ok(self.table.get(&this)?.0.sample_rate)
    }

    fn channels(&mut self, this: Resource<Media>) -> wasmtime::Result<Option<u32>> {
        Ok(self.table.get(&this)?.0.channels.map(u32::from))
    }

    fn suits_name(&mut self, this: Resource<Media>, name: String) -> wasmtime::Result<bool> {
        Ok(extension_agrees(
            &name,
            self.table.get(&this)?.0.format.name(),
        ))
    }

    fn drop(&mut self, this: Resource<Media>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
