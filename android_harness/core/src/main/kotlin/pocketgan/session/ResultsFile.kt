package pocketgan.session

import java.io.Closeable
import java.io.RandomAccessFile
import java.nio.file.Files
import java.nio.file.Path
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import pocketgan.json.JsonProblem
import pocketgan.json.MODEL_JSON
import pocketgan.json.InvalidException
import pocketgan.json.StrictJson
import pocketgan.schema.Beat
import pocketgan.schema.End
import pocketgan.schema.Job
import pocketgan.schema.Result
import pocketgan.schema.readResult

/**
 * `results.jsonl`: what the device says. Lines are only ever added: a result is on the disk when [result] returns, so
 * that a crash loses at most what is being measured.
 */
class ResultsFile(path: Path) : Closeable {
    private val file = RandomAccessFile(path.toFile(), "rw")

    init {
        // A line that a crash cut off stays, for the host may have read it; what follows is a line of its own.
        val length = file.length()
        if (length > 0) {
            file.seek(length - 1)
            if (file.read() != '\n'.code) file.write('\n'.code)
        }
    }

    /** Append a Result. */
    @Synchronized
    fun result(result: Result) {
        val fields = MODEL_JSON.encodeToJsonElement(Result.serializer(), result) as JsonObject
        write(JsonObject(mapOf("record" to JsonPrimitive("result")) + fields))
        file.fd.sync()
    }

    /** Append a sign of life, which nothing is lost with. */
    @Synchronized
    fun beat(beat: Beat) = write(MODEL_JSON.encodeToJsonElement(Beat.serializer(), beat))

    /** Append the end. */
    @Synchronized
    fun end(end: End) {
        write(MODEL_JSON.encodeToJsonElement(End.serializer(), end))
        file.fd.sync()
    }

    override fun close() = file.close()

    private fun write(line: JsonElement) {
        file.seek(file.length())
        file.write("$line\n".toByteArray())
    }
}

/**
 * The Jobs that `results.jsonl` answers, in a session of that name, each as often as it does: a bundle may be compared
 * with itself.
 */
fun answeredJobs(path: Path, session: String): List<Job> = answers(path, session) { it.job }

/** [part] of every Result in `results.jsonl`, in a session of that name. Lines that are no results are left out. */
fun <T> answers(path: Path, session: String, part: (Result) -> T): List<T> {
    if (!Files.exists(path)) return emptyList()
    return Files.newBufferedReader(path).useLines { lines ->
        lines.mapNotNull(::resultIn).filter { it.session == session }.map(part).toList()
    }
}

private fun resultIn(line: String): Result? =
    try {
        val value = StrictJson(line).read().value as? JsonObject
        value?.takeIf { it["record"] == JsonPrimitive("result") }?.let { readResult("${JsonObject(it - "record")}") }
    } catch (problem: JsonProblem) {
        null
    } catch (invalid: InvalidException) {
        null
    } catch (error: IllegalArgumentException) {
        null
    }
