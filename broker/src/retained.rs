//! The newest retained message of each topic. Kafka has them; this is what a node knows of them.

use std::sync::Arc;

use mqtt::TopicFilter;
use mqtt::filters::NameTree;
use mqtt::session::Message;
use parking_lot::RwLock;

#[derive(Default)]
pub(crate) struct Retained {
    names: RwLock<NameTree<Arc<Message>>>,
}

impl Retained {
    /// Keeps a message; an empty payload removes what was kept [MQTT-3.3.1-6].
    pub(crate) fn keep(&self, message: Arc<Message>) {
        let topic = message.topic().clone();
        let kept = (!message.payload().is_empty()).then_some(message);
        self.names.write().set(topic.as_str(), kept);
    }

    /// Forgets the message of a topic.
    pub(crate) fn forget(&self, mqtt_topic: &str) {
        self.names.write().set(mqtt_topic, None);
    }

    /// The messages whose topics match.
    pub(crate) fn matching(&self, filter: &TopicFilter) -> Vec<Arc<Message>> {
        let mut found = Vec::new();
        self.names
            .read()
            .for_each_match(filter, |message| found.push(Arc::clone(message)));
        found
    }

    pub(crate) fn len(&self) -> usize {
        self.names.read().len()
    }
}
