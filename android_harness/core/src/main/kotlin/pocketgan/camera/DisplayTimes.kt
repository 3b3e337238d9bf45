package pocketgan.camera

import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock

/** Collects when pictures were on the screen, which a system tells later and from threads of its own. */
class DisplayTimes {
    private val lock = ReentrantLock()
    private val changed = lock.newCondition()
    private val times = ArrayList<DisplayTime?>()

    /** How many pictures, from the first on or out of order, were told of. */
    private var told = 0

    /** Picture [number] was on the screen at that time; null if it never was. */
    fun tell(number: Int, time: DisplayTime?) = lock.withLock {
        while (times.size <= number) times += null
        times[number] = time
        told += 1
        changed.signalAll()
    }

    /** Times of the first [count] pictures, after a wait of [timeoutNs] at most for those that were not told of yet. */
    fun await(count: Int, timeoutNs: Long): List<DisplayTime?> = lock.withLock {
        var left = timeoutNs
        while (told < count && left > 0) left = changed.awaitNanos(left)
        List(count) { times.getOrNull(it) }
    }
}
