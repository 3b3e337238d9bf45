package pocketgan.measure

import java.nio.FloatBuffer
import java.util.concurrent.Callable
import java.util.concurrent.ExecutionException
import java.util.concurrent.Executors
import java.util.concurrent.Future
import pocketgan.schema.Frame

/**
 * Frames that overlap, as a camera app pipelines: while a frame is inferred, the next one's picture becomes a tensor
 * and the last one's output a picture, each on a thread of its own.
 *
 * @param each is called after every inference.
 */
internal fun overlapping(model: TimedModel, clock: NanoClock, count: Long, round: Int, each: () -> Unit): List<Frame> {
    val converters = Executors.newSingleThreadExecutor()
    val finishers = Executors.newSingleThreadExecutor()
    try {
        return Overlap(model, clock, round).frames(count, each, { converters.submit(it) }, { finishers.submit(it) })
    } catch (problem: ExecutionException) {
        throw problem.cause ?: problem
    } finally {
        converters.shutdownNow()
        finishers.shutdownNow()
    }
}

private class Overlap(private val model: TimedModel, private val clock: NanoClock, private val round: Int) {
    /** The next picture is converted into one tensor while the model reads the other. */
    private val tensors = List(2) { model.newInput() }

    fun frames(
        count: Long,
        each: () -> Unit,
        convert: (Callable<Frame>) -> Future<Frame>,
        finish: (Callable<Frame>) -> Future<Frame>,
    ): List<Frame> {
        val frames = ArrayList<Future<Frame>>()
        var next = convert(Callable { converted(tensors[0]) })
        for (number in 0 until count) {
            val begun = next.get()
            if (number + 1 < count) next = convert(Callable { converted(tensors[((number + 1) % 2).toInt()]) })
            val before = clock.now()
            model.infer(tensors[(number % 2).toInt()])
            // The next inference may write to the same place.
            val output = model.copyOfPictureOutput()
            val inferred = begun.copy(inferenceNs = clock.now() - before)
            frames.lastOrNull()?.get()
            frames += finish(Callable { finished(inferred, output) })
            each()
        }
        return frames.map { it.get() }
    }

    private fun converted(tensor: Tensor?): Frame {
        val started = clock.now()
        if (tensor != null) model.fill(tensor)
        return Frame(started, if (tensor != null) clock.now() - started else 0, 0, 0, round.toLong())
    }

    private fun finished(frame: Frame, output: FloatBuffer?): Frame {
        val before = clock.now()
        if (output != null) model.toPicture(output)
        val ended = clock.now()
        return frame.copy(postNs = if (output != null) ended - before else 0, endNs = ended)
    }
}
