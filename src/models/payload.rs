//! The body of a prediction request.

use super::picture::Picture;

/// `{"instances": [picture]}` with the raw samples as integers, `[height][width][3]`, as the tutorial sends them.
pub fn request_body(picture: &Picture) -> Vec<u8> {
    // A sample takes at most three digits and a comma, a pixel two brackets and a comma more.
    let mut body = Vec::with_capacity(picture.rgb.len() * 5 + 64);
    body.extend_from_slice(b"{\"instances\": [[");
    for (y, row) in picture.rgb.chunks_exact(picture.width.max(1) * 3).enumerate() {
        if y > 0 {
            body.push(b',');
        }
        body.push(b'[');
        for (x, pixel) in row.chunks_exact(3).enumerate() {
            if x > 0 {
                body.push(b',');
            }
            body.push(b'[');
            for (channel, &sample) in pixel.iter().enumerate() {
                if channel > 0 {
                    body.push(b',');
                }
                put_decimal(&mut body, sample);
            }
            body.push(b']');
        }
        body.push(b']');
    }
    body.extend_from_slice(b"]]}");
    body
}

fn put_decimal(body: &mut Vec<u8>, value: u8) {
    if value >= 100 {
        body.push(b'0' + value / 100);
    }
    if value >= 10 {
        body.push(b'0' + value / 10 % 10);
    }
    body.push(b'0' + value % 10);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_the_nested_lists_of_the_picture() {
        let picture = Picture { width: 2, height: 2, rgb: vec![0, 9, 10, 99, 100, 255, 1, 2, 3, 4, 5, 6] };
        let body = request_body(&picture);
        assert_eq!(body, br#"{"instances": [[[[0,9,10],[99,100,255]],[[1,2,3],[4,5,6]]]]}"#);
        let parsed: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(parsed["instances"][0][1][0][2], 3);
    }

    #[test]
    fn the_portraits_body_has_the_size_of_the_tutorials() {
        let body = request_body(&super::super::picture::portrait());
        assert!((3_000_000..4_000_000).contains(&body.len()), "{}", body.len());
    }
}
