package pocketgan.schema

import kotlinx.serialization.KSerializer
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import pocketgan.json.InvalidException
import pocketgan.json.JsonProblem
import pocketgan.json.StrictJson
import pocketgan.json.Violation
import pocketgan.json.decode

/**
 * A Job from its JSON text. Of a later minor version, what this harness does not know is left out.
 *
 * @throws InvalidException what is wrong with it, in the order of its model.
 */
fun readJob(text: String): Job =
    read(text, Job.serializer(), SCHEMA_VERSION).also { it.mustHaveItsLength(emptyList()) }

/** A Result, as [readJob]. */
fun readResult(text: String): Result =
    read(text, Result.serializer(), SCHEMA_VERSION).also { it.job.mustHaveItsLength(listOf("job")) }

/** A Session, as [readJob]. */
fun readSession(text: String): Session =
    read(text, Session.serializer(), SESSION_VERSION).also { session ->
        session.groups.forEachIndexed { group, (jobs) ->
            jobs.forEachIndexed { at, job -> job.mustHaveItsLength(listOf("groups", "$group", "jobs", "$at")) }
        }
    }

private fun <T> read(text: String, serializer: KSerializer<T>, version: String): T {
    val document = try {
        StrictJson(text).read()
    } catch (problem: JsonProblem) {
        throw invalid("Invalid JSON: ${problem.message}")
    } catch (error: IllegalArgumentException) {
        throw invalid("Invalid JSON: ${error.message}")
    }
    document.flaw?.let { throw invalid("Invalid JSON: $it") }
    val stated = (document.value as? JsonObject)?.get("schema_version") as? JsonPrimitive
    return decode(document.value, serializer, dropsUnknown = stated != null && isLaterMinor(stated.content, version))
}

/** Whether [stated] is a minor version of the same major that came after [ours]. */
private fun isLaterMinor(stated: String, ours: String): Boolean {
    val (major, minor) = ours.split(".")
    val theirs = stated.removePrefix("$major.").takeIf { it != stated }?.toIntOrNull()
    return theirs != null && theirs > minor.toInt()
}

private fun invalid(message: String) = InvalidException(listOf(Violation(emptyList(), message)))
