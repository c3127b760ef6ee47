//! The opcodes that every device has, as methods; any other goes through [`Client::call`].
//! Not here: what they mean to the device (its plugins say it in the table).

use pixelboy_protocol::Value;

use crate::client::{Client, Progress};
use crate::error::Error;
use crate::reply::Reply;
use crate::source::Source;

impl Client {
    /// Stores text: mode `a` adds it at the end of the file, `w` replaces the file, `r+` writes over its start.
    ///
    /// # Errors
    /// As [`Client::call`] and [`Client::upload`].
    pub async fn ss(&self, path: &str, text: &str, mode: &str) -> Result<Reply, Error> {
        let text = self
            .data(&Source::bytes(text.as_bytes()), &mut |_, _| {})
            .await?;
        self.call("ss", [path.into(), text, mode.into()], [], None)
            .await
    }

    /// Stores a picture.
    ///
    /// # Errors
    /// As [`Client::call`] and [`Client::upload`].
    pub async fn si(
        &self,
        image: &Source,
        name: &str,
        progress: Progress<'_>,
    ) -> Result<Reply, Error> {
        let image = self.data(image, progress).await?;
        self.call("si", [image, name.into()], [], None).await
    }

    /// Stores sound; a frame rate of 0 takes the file's own.
    ///
    /// # Errors
    /// As [`Client::call`] and [`Client::upload`].
    pub async fn sm(
        &self,
        frame_rate: i64,
        audio: &Source,
        name: &str,
        progress: Progress<'_>,
    ) -> Result<Reply, Error> {
        let audio = self.data(audio, progress).await?;
        self.call("sm", [frame_rate.into(), audio, name.into()], [], None)
            .await
    }

    /// Stores an animation; 0 frames per second take the file's own timing.
    ///
    /// # Errors
    /// As [`Client::call`] and [`Client::upload`].
    pub async fn sg(
        &self,
        fps: f64,
        gif: &Source,
        name: &str,
        progress: Progress<'_>,
    ) -> Result<Reply, Error> {
        let gif = self.data(gif, progress).await?;
        self.call("sg", [fps.into(), gif, name.into()], [], None)
            .await
    }

    /// Shows a stored picture.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn ri(&self, path: &str) -> Result<Reply, Error> {
        self.call("ri", [path.into()], [], None).await
    }

    /// Shows a stored animation.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn rg(&self, path: &str) -> Result<Reply, Error> {
        self.call("rg", [path.into()], [], None).await
    }

    /// Plays stored sound; with `thread` it goes on after this client.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn rm(&self, path: &str, thread: bool) -> Result<Reply, Error> {
        self.call("rm", [path.into(), thread.into()], [], None)
            .await
    }

    /// Pauses.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn pm(&self) -> Result<Reply, Error> {
        self.call("pm", [], [], None).await
    }

    /// Goes on from the pause.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn um(&self, thread: bool) -> Result<Reply, Error> {
        self.call("um", [thread.into()], [], None).await
    }

    /// Stops what plays.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn stop(&self) -> Result<Reply, Error> {
        self.call("stop", [], [], None).await
    }

    /// Sets the volume of the device, 0.0 to 1.0.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn sv(&self, volume: f64) -> Result<Reply, Error> {
        self.call("sv", [volume.into()], [], None).await
    }

    /// What is shown and played, how loud, and versions.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn status(&self) -> Result<Value, Error> {
        let mut reply = self.call("status", [], [], None).await?;
        Ok(match reply.values.is_empty() {
            true => Value::Null,
            false => reply.values.remove(0),
        })
    }
}
