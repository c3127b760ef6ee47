//! Pictures as they are to be, kept beside the tests.

use std::fs;
use std::path::{Path, PathBuf};

use crate::canvas::Canvas;

/// Fails where the picture differs from the PNG file at `path` (relative to the crate's folder).
///
/// Where there is no such file it is written, and the test fails once: look at it, keep it if it is right. A picture that
/// differs is written beside it, as `NAME.now.png`.
#[track_caller]
pub fn assert_golden(path: impl AsRef<Path>, picture: &Canvas) {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(PathBuf::new, PathBuf::from);
    let file = root.join(path);
    let now = file.with_extension("now.png");
    if !file.exists() {
        write(&file, picture);
        panic!(
            "{} was not there and is now: look at it; if it is right, run the test again",
            file.display()
        );
    }
    let differs = match read(&file) {
        Ok(golden) if golden == *picture => {
            // Of an earlier run.
            let _ = fs::remove_file(&now);
            return;
        }
        Ok(golden) => difference(&golden, picture),
        Err(why) => why,
    };
    write(&now, picture);
    panic!(
        "the picture is not as in {}: {differs}. It is in {}; if it is right, put it in the other's place",
        file.display(),
        now.display()
    );
}

fn difference(golden: &Canvas, picture: &Canvas) -> String {
    let size = |of: &Canvas| (of.width(), of.height());
    if size(golden) != size(picture) {
        return format!(
            "{:?} pixels are to be, {:?} are",
            size(golden),
            size(picture)
        );
    }
    let pixels = golden.rgba().chunks(4).zip(picture.rgba().chunks(4));
    let other = pixels.filter(|(golden, now)| golden != now).count();
    format!("{other} pixels differ")
}

#[track_caller]
fn write(file: &Path, picture: &Canvas) {
    let written = (|| {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut encoder =
            png::Encoder::new(fs::File::create(file)?, picture.width(), picture.height());
        encoder.set_color(png::ColorType::Rgba);
        encoder.write_header()?.write_image_data(picture.rgba())
    })();
    if let Err(error) = written {
        panic!("failed to write {}: {error}", file.display());
    }
}

fn read(file: &Path) -> Result<Canvas, String> {
    let failed = |error: &dyn std::fmt::Display| format!("it can't be read ({error})");
    let bytes = fs::read(file).map_err(|error| failed(&error))?;
    let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    decoder.set_transformations(
        png::Transformations::normalize_to_color8() | png::Transformations::ALPHA,
    );
    let mut reader = decoder.read_info().map_err(|error| failed(&error))?;
    let mut rgba = vec![0; reader.output_buffer_size().unwrap_or_default()];
    let info = reader
        .next_frame(&mut rgba)
        .map_err(|error| failed(&error))?;
    Canvas::of_rgba(info.width, info.height, &rgba)
        .ok_or_else(|| "it is no picture of red, green, blue and alpha".to_owned())
}
