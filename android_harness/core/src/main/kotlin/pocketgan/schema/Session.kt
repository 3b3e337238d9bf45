package pocketgan.schema

import kotlinx.serialization.EncodeDefault
import kotlinx.serialization.ExperimentalSerializationApi
import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable
import pocketgan.json.Above
import pocketgan.json.AtLeast
import pocketgan.json.Characters
import pocketgan.json.Items
import pocketgan.json.Matches

/** Version of the session that this harness knows whole; see bench/schema/session.py. */
const val SESSION_VERSION = "1.2"

/** Jobs whose models take turns, round by round; a sustained or camera Job has a group of its own. */
@Serializable
data class Group(@Items(min = 1) val jobs: List<Job>)

/** `session.json`: what the host hands to a device that is elsewhere. */
@Serializable
data class Session(
    @SerialName("schema_version") @Matches(VERSION_PATTERN) val schemaVersion: String = SESSION_VERSION,
    @Characters(min = 1, max = 256) val name: String,
    @SerialName("beat_interval_s") @Above(0) val beatIntervalS: Double = 1.0,
    @Items(min = 1) val groups: List<Group>,
)

/** The work goes on: what it is at, and how many frames (of a timed Job: seconds) of it are done. */
@OptIn(ExperimentalSerializationApi::class)
@Serializable
data class Beat(
    @EncodeDefault val record: String = "beat",
    @SerialName("at_ns") val atNs: Long,
    val detail: String = "",
    @AtLeast(0) val done: Long = 0,
)

/** Nothing more comes: every group is done, or [error] says in one line why not. */
@OptIn(ExperimentalSerializationApi::class)
@Serializable
data class End(@EncodeDefault val record: String = "end", val error: String? = null)
