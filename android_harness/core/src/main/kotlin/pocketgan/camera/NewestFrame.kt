package pocketgan.camera

import java.io.Closeable
import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock
import pocketgan.measure.RefusedException

/**
 * The place between a camera's thread and the one that computes: it holds one frame, the newest. A frame that nobody
 * took before the next one came is closed and counted.
 */
class NewestFrame<T : Closeable> : Closeable {
    private val lock = ReentrantLock()
    private val changed = lock.newCondition()
    private var waiting: T? = null
    private var failure: String? = null
    private var isClosed = false
    private var replaced = 0L

    /** How many frames were replaced untaken. */
    val dropped: Long get() = lock.withLock { replaced }

    /** A frame has come; it belongs to this place now. */
    fun put(frame: T) = lock.withLock {
        if (isClosed) {
            frame.close()
            return@withLock
        }
        waiting?.let {
            it.close()
            replaced += 1
        }
        waiting = frame
        changed.signalAll()
    }

    /** No more frames come, for the reason that this line tells; the first one counts. */
    fun fail(line: String) = lock.withLock {
        failure = failure ?: line
        changed.signalAll()
    }

    /**
     * The newest frame, which belongs to the caller then; waits [timeoutNs] at most.
     *
     * @return null if none came.
     * @throws RefusedException none will come any more.
     */
    fun take(timeoutNs: Long): T? = lock.withLock {
        var left = timeoutNs
        while (waiting == null && failure == null && left > 0) left = changed.awaitNanos(left)
        failure?.let { throw RefusedException(it) }
        waiting.also { waiting = null }
    }

    override fun close() = lock.withLock {
        isClosed = true
        waiting?.close()
        waiting = null
    }
}
