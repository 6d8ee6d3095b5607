//! A custom filter: messages from within a distance of a point.
//!
//!     cargo run --example geo_filter                  # shows what the filter lets through, and ends
//!     cargo run --example geo_filter -- serve 9876 10911    # name server and a broker with the filter on these ports
//!
//! `docs/extending.md` goes through it line by line.

use std::time::Duration;

use actix::prelude::*;
use actormq::client::{Filter, Message, PullOptions, StartFrom};
use actormq::embed::ClusterOptions;
use actormq::server::extending::{Bits, FilterAnswer, FilterBatch, FilterError, MessageView};

/// Lets through messages whose properties `lat` and `lon` lie near a point.
struct GeoFilter;

impl Actor for GeoFilter {
    type Context = Context<Self>;
}

impl Handler<FilterBatch> for GeoFilter {
    type Result = FilterAnswer;

    fn handle(&mut self, batch: FilterBatch, _: &mut Context<Self>) -> FilterAnswer {
        let near = Near::parse(&batch.expression).ok_or_else(|| {
            FilterError::Expression("write latitude, longitude and kilometres, as in '52.52 13.40 10'".into())
        })?;
        Ok(batch.messages.iter().map(|message| near.holds(message)).collect::<Bits>())
    }
}

/// A point, in degrees, and how far from it, in kilometres.
struct Near {
    point: (f64, f64),
    km: f64,
}

impl Near {
    fn parse(expression: &str) -> Option<Self> {
        let numbers: Vec<f64> = expression.split_whitespace().map(|word| word.parse().ok()).collect::<Option<_>>()?;
        let [lat, lon, km] = numbers[..] else { return None };
        Some(Self { point: (lat, lon), km })
    }

    /// A message that does not say where it is from is nowhere near.
    fn holds(&self, message: MessageView) -> bool {
        let degrees = |name| message.property(name)?.parse::<f64>().ok();
        let (Some(lat), Some(lon)) = (degrees("lat"), degrees("lon")) else { return false };
        distance_km(self.point, (lat, lon)) <= self.km
    }
}

/// Along the great circle.
fn distance_km((lat, lon): (f64, f64), (to_lat, to_lon): (f64, f64)) -> f64 {
    const EARTH_RADIUS_KM: f64 = 6_371.0;
    let half = |a: f64, b: f64| ((b - a).to_radians() / 2.0).sin().powi(2);
    let chord = half(lat, to_lat) + lat.to_radians().cos() * to_lat.to_radians().cos() * half(lon, to_lon);
    2.0 * EARTH_RADIUS_KM * chord.sqrt().asin()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let options = ClusterOptions::new().filter_kept("GEO", || GeoFilter);
    if let [word, name_server, broker] = &words[..]
        && word == "serve"
    {
        let (name_server, broker) = (name_server.parse()?, broker.parse()?);
        let options = options.name_server(|config| config.network.listen_port = name_server);
        let options = options.broker(|config| {
            config.network.listen_port = broker;
            config.identity.broker_name = "broker-a".into();
        });
        let cluster = options.start().await?;
        println!("a broker with the filter GEO; its name server is {}; Ctrl-C ends it", cluster.name_server());
        tokio::signal::ctrl_c().await?;
        cluster.shutdown().await;
        return Ok(());
    }
    let cluster = options.start().await?;
    let client = cluster.client().await?;
    let producer = client.producer("drivers").await?;
    for (name, lat, lon) in
        [("Alexanderplatz", 52.522, 13.413), ("Potsdam", 52.391, 13.065), ("Hamburg", 53.551, 9.994)]
    {
        let message = Message::new("positions", name).property("lat", lat.to_string());
        producer.send(message.property("lon", lon.to_string())).await?;
    }
    for km in [10, 50, 500] {
        let options = PullOptions { start_from: StartFrom::First, ..PullOptions::new(format!("within-{km}")) };
        let mut nearby = client.pull_consumer_with(options).await?;
        nearby.subscribe("positions", Filter::custom("GEO", format!("52.52 13.40 {km}"))).await?;
        let mut names = Vec::new();
        loop {
            let batch = nearby.poll(Duration::from_secs(1)).await?;
            if batch.is_empty() {
                break;
            }
            names.extend(batch.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()));
        }
        names.sort();
        println!("within {km} km of Berlin's centre: {}", names.join(", "));
        nearby.shutdown().await?;
    }
    client.shutdown().await;
    cluster.shutdown().await;
    Ok(())
}
