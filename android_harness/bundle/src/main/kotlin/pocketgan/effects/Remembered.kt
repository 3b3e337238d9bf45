package pocketgan.effects

import android.util.AtomicFile
import java.io.File
import java.io.FileNotFoundException
import kotlinx.serialization.KSerializer
import kotlinx.serialization.Serializable
import kotlinx.serialization.json.Json

/** What a later version of the app wrote is read without what is new. */
private val JSON = Json { ignoreUnknownKeys = true }

/**
 * The bundle of an effect that ran.
 *
 * @property folder where it is unpacked.
 * @property source the stamp of what it came from.
 * @property files what its files looked like once their hashes had been found right, by path.
 * @property replaced digests of those that were installed before.
 */
@Serializable
internal data class Installed(
    val digest: String,
    val folder: String,
    val source: String? = null,
    val files: Map<String, String> = emptyMap(),
    val replaced: List<String> = emptyList(),
)

/**
 * What came of choosing, for one state of the phone and the app ([situation]).
 *
 * @property medianNs the time of a frame by candidate, the fastest first; one alone is not timed.
 * @property leftOut why others cannot be used.
 * @property crashed those that were being tried when the process died of it.
 * @property right candidates with the concepts of a pack that they drew as they should ([drawn]).
 * @property forgiven those that were being tried when someone ended the app; the second time counts as a crash.
 */
@Serializable
internal data class Choice(
    val situation: String,
    val medianNs: Map<String, Long?> = emptyMap(),
    val leftOut: Map<String, String> = emptyMap(),
    val right: List<String> = emptyList(),
    val crashed: List<String> = emptyList(),
    val forgiven: List<String> = emptyList(),
)

/**
 * What files that patches made looked like once their hashes had been found right, by path; see [Installed.files].
 */
@Serializable
internal data class Patched(val files: Map<String, String> = emptyMap())

/** The candidate that is being tried now; there only as long as that lasts, or if the process died of it. */
@Serializable
internal data class Trying(val digest: String, val situation: String, val candidate: String, val process: Int)

/** How [Choice.right] names a candidate that drew a concept. */
internal fun drawn(candidate: String, concept: String?) = "$candidate: ${concept.orEmpty()}"

/** A small file that is there whole or not at all, whenever the power goes. */
internal class JsonFile<T>(private val path: File, private val serializer: KSerializer<T>) {
    private val file = AtomicFile(path)

    /** Null if there is none, or none that can be read. */
    fun read(): T? =
        try {
            JSON.decodeFromString(serializer, file.readFully().decodeToString())
        } catch (none: FileNotFoundException) {
            null
        } catch (damaged: IllegalArgumentException) {
            null
        }

    fun write(value: T) {
        path.parentFile?.mkdirs()
        val stream = file.startWrite()
        try {
            stream.write(JSON.encodeToString(serializer, value).toByteArray())
            file.finishWrite(stream)
        } catch (problem: Throwable) {
            file.failWrite(stream)
            throw problem
        }
    }

    fun delete() = file.delete()
}
