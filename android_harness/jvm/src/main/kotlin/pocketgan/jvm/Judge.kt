package pocketgan.jvm

import java.nio.file.Paths
import java.util.Base64
import kotlinx.serialization.Serializable
import kotlinx.serialization.encodeToString
import kotlinx.serialization.json.Json
import pocketgan.bundle.BundleException
import pocketgan.bundle.DamageException
import pocketgan.bundle.checkBundle
import pocketgan.bundle.openBundle
import pocketgan.bundle.readManifest
import pocketgan.ed25519.Ed25519
import pocketgan.json.InvalidException
import pocketgan.schema.readJob
import pocketgan.schema.readResult
import pocketgan.schema.readSession

/**
 * What is to be judged. [what] is `bundle` (all problems of the one at [path]), `open` (what opening it says), a
 * document's kind (`manifest`, `job`, `result`, `session`; its [text]), or `signature` (whether [signature] is [key]'s
 * of [message], all three in base64).
 */
@Serializable
private class Question(
    val what: String,
    val path: String = "",
    val text: String = "",
    val key: String = "",
    val message: String = "",
    val signature: String = "",
)

/** What is wrong, nothing if it is sound; [refused] if it could not even be looked into. */
@Serializable
private class Judgement(val problems: List<String>, val refused: Boolean)

/** Judges many files in one process: questions as JSON lines in, a line of JSON for each out. */
internal fun judge() {
    for (line in generateSequence(::readLine)) {
        val question = Json.decodeFromString<Question>(line)
        val judgement = try {
            Judgement(problems(question), refused = false)
        } catch (error: BundleException) {
            Judgement(listOf("${error.message}".removePrefix("${question.path}: ")), refused = true)
        } catch (damage: DamageException) {
            Judgement(listOf("${damage.message}"), refused = true)
        } catch (invalid: InvalidException) {
            Judgement(invalid.violations.map { "$it" }, refused = true)
        }
        println(Json.encodeToString(judgement))
    }
}

private fun problems(question: Question): List<String> {
    when (question.what) {
        "bundle" -> return checkBundle(Paths.get(question.path))
        "open" -> openBundle(Paths.get(question.path)).close()
        "manifest" -> readManifest(question.text.toByteArray())
        "job" -> readJob(question.text)
        "result" -> readResult(question.text)
        "session" -> readSession(question.text)
        "signature" -> {
            val (key, message, signature) =
                listOf(question.key, question.message, question.signature).map(Base64.getDecoder()::decode)
            if (!Ed25519.verify(key, message, signature)) return listOf("is not of this message")
        }
        else -> error("nothing is called ${question.what}")
    }
    return emptyList()
}
