package pocketgan.onnxruntime

import ai.onnxruntime.OrtException
import pocketgan.measure.Release
import pocketgan.measure.engineTooOld

private val NEWER_IR = Regex("Unsupported model IR version: ([0-9]+), max supported IR version: ([0-9]+)")
private val NEWER_OPSET =
    Regex("Opset ([0-9]+) is under development.*Current official support for domain (\\S+) is till opset ([0-9]+)")

/**
 * One line in place of what ONNX Runtime says of a model whose format or operators came after it; null where it says
 * something else. It reads everything older: what counts is what the file is, not which version wrote it.
 *
 * @param needed the version of ONNX Runtime that the bundle names.
 */
internal fun tooOld(problem: OrtException, version: String, needed: String): Exception? {
    val said = problem.message.orEmpty().replace('\n', ' ')
    val (reads, found) = NEWER_IR.find(said)?.destructured?.let { (found, newest) -> "ONNX IR $newest" to "IR $found" }
        ?: NEWER_OPSET.find(said)?.destructured?.let { (found, domain, newest) -> "opset $newest of $domain" to "opset $found" }
        ?: return null
    val ours = Release.of(version)
    val known = Release.of(needed)?.takeIf { ours != null && it > ours }
    val newer = if (known == null) "a newer ONNX Runtime" else "ONNX Runtime $needed or newer"
    return engineTooOld("ONNX Runtime $version", "$reads and older", found, newer)
}
