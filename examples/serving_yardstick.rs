//! What `benches/serving_load.py` needs beside the model server: a small model, and something bare to compare with.
//!
//! `serving_yardstick model DIR` writes the SavedModel half_plus_two; `serving_yardstick axum PORT` answers every POST
//! with the text that half_plus_two's answer has, through axum and nothing else.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a tool for measurements")]

#[allow(dead_code, unreachable_pub, reason = "it is the tests' file, and they use all of it")]
#[path = "../tests/model_server/models.rs"]
mod models;

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;

const ANSWER: &str = "{\n    \"predictions\": [2.5, 3.0, 4.5\n    ]\n}";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["model", directory] => models::half_plus_two(std::path::Path::new(directory)),
        ["axum", port] => tokio::runtime::Runtime::new().unwrap().block_on(serve(port.parse().unwrap())),
        _ => {
            eprintln!("usage: serving_yardstick model DIR | axum PORT");
            std::process::exit(2);
        }
    }
}

async fn serve(port: u16) {
    // Both read the whole body; this one does nothing with it.
    let answer = |_: Bytes| async { ([(CONTENT_TYPE, "application/json")], ANSWER) };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    axum::serve(listener, axum::Router::new().fallback(post(answer))).await.unwrap();
}
